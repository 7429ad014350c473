"""The one error of this floor."""

from __future__ import annotations


class Refusal(ValueError):
    """A quantity that does not exist for this model or these options: one sentence, and what to do instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
