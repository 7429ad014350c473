"""What can go wrong with a model, said to a person."""

from __future__ import annotations


class ModelError(Exception):
    """A model, a prompt or a token list that cannot be used.

    ``message`` is one sentence that says what is wrong, ``hint`` what to do about it (perhaps empty).
    ``fault``: nobody foresaw it, so that the log says where it came from.
    """

    def __init__(self, message: str, hint: str = "", fault: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fault = fault


def first_line(error: BaseException) -> str:
    """A library's message on one line: its first sentence says what, the rest how to program around it."""
    said = str(error).strip()
    if isinstance(error, KeyError) and error.args:  # of which Python says the key alone, in quotes
        said = str(error.args[0]) if " " in str(error.args[0]) else f"there is no {error.args[0]!r}"
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [type(error).__name__]
    return (f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and lines[1:] else lines[0]).rstrip(".:")
