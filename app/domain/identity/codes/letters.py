"""The mails that users get about their log-in.

They name nobody: a name is what a stranger typed who registered this address, and would be carried to its owner.
"""

import msgspec


class Letter(msgspec.Struct, frozen=True):
    """A plain-text mail."""

    subject: str
    body: str

    def __repr__(self) -> str:
        return f"<Letter {self.subject!r}>"


def verification(code: str, seconds: int) -> Letter:
    """The code that proves that mail arrives."""
    return Letter(
        "Confirm your e-mail address",
        f"Confirm that this is your e-mail address with this code:\n\n    {code}\n\n"
        f"It is good for {_duration(seconds)}. If you did not register with Turumba, ignore this mail.\n",
    )


def reset(code: str, seconds: int) -> Letter:
    """The code that lets a new password be chosen."""
    return Letter(
        "Choose a new password",
        f"Choose a new password with this code:\n\n    {code}\n\n"
        f"It is good for {_duration(seconds)}. If you did not ask for it, ignore this mail: your password stays as it"
        " is. Give the code to nobody; we never ask for it.\n",
    )


def password_changed() -> Letter:
    """Tells the owner, should it have been somebody else."""
    return Letter(
        "Your password was changed",
        "Your Turumba password was changed just now, and your other sessions were ended. If it was not you, reset"
        " your password at once.\n",
    )


def second_factor_changed(enabled: bool) -> Letter:
    """Tells the owner, should it have been somebody else."""
    words = "turned on" if enabled else "turned off"
    return Letter(
        f"Your second factor was {words}",
        f"The second factor of your Turumba log-in was {words} just now. If it was not you, change your password at"
        " once.\n",
    )


def _duration(seconds: int) -> str:
    minutes = max(1, seconds // 60)
    if minutes < 120:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{minutes // 60} hours"
