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
