"""What can go wrong with a model, said to a person."""

from __future__ import annotations


class ModelError(Exception):
    """A model, a prompt or a token list that cannot be used.

    ``message`` is one sentence that says what is wrong, ``hint`` what to do about it (perhaps empty).
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def first_line(error: BaseException) -> str:
    """A library's message on one line: its first sentence says what, the rest how to program around it."""
    if isinstance(error, KeyError):  # its message is the bare key
        return f"{error.args[0] if error.args else 'something'} is missing"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
