"""The statuses with which we refuse, by their names in SMPP 3.4 §5.1.3."""

from smpp_daemon.protocol.status import parse_status

RINVPRTFLG = parse_status("RINVPRTFLG")
RINVMSGID = parse_status("RINVMSGID")
RCANCELFAIL = parse_status("RCANCELFAIL")
RREPLACEFAIL = parse_status("RREPLACEFAIL")
RINVSERTYP = parse_status("RINVSERTYP")
RINVNUMDESTS = parse_status("RINVNUMDESTS")
RINVDLNAME = parse_status("RINVDLNAME")
RINVESMCLASS = parse_status("RINVESMCLASS")
RINVREPFLAG = parse_status("RINVREPFLAG")
RINVSCHED = parse_status("RINVSCHED")
RINVEXPIRY = parse_status("RINVEXPIRY")
RINVDFTMSGID = parse_status("RINVDFTMSGID")
ROPTPARNOTALLWD = parse_status("ROPTPARNOTALLWD")
RINVPARLEN = parse_status("RINVPARLEN")
RINVDCS = parse_status("RINVDCS")


class RefusedError(Exception):
    """A request that is answered with `status` instead of being carried out."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with 0x{status:08X}")
        self.status = status
