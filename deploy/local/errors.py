"""The one error of the local stack: something a person has to do, said in words."""


class LocalError(Exception):
    """The stack can't go on. The text names what is wrong and what to do; it is shown without a traceback."""
