"""The words of an invitation."""

from urllib.parse import quote

DAY = 86_400
HOUR = 3_600


def subject(account: str) -> str:
    """The subject; whatever stands in the account's name, it is one line."""
    return f"Invitation to {account}"


def body(*, account: str, role: str, inviter: str, email: str, token: str, seconds: int, public_url: str) -> str:
    """The text; `seconds` is the life of the invitation."""
    return f"""Hello,

{inviter} invites you to the account "{account}" as {role}.

To accept, open this page within {_span(seconds)}:

{public_url.rstrip("/")}/invitations/accept?token={quote(token)}

If a program asks you for the token, it is:

{token}

The invitation is for {email} only, and works once. If you did not expect it, do nothing.
"""


def _span(seconds: int) -> str:
    for size, unit in ((DAY, "day"), (HOUR, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds} seconds"
