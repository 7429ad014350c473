"""One sentence above the inspector: what went wrong, or what was done."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from ..text import plain


class Notice(Static):
    """Stays until the next sentence, or until what it is about is put right."""

    def __init__(self) -> None:
        super().__init__(id="notice")
        self._about = ""

    def say(self, sentence: str, good: bool = False, about: str = "") -> None:
        """Another sentence; "" takes the one there away."""
        self._about = about
        self.update(Content(plain(sentence)))
        self.set_class(bool(sentence), "shown")
        self.set_class(good, "good")

    def settle(self, about: str, sentence: str = "") -> None:
        """What there is to say about something now; "" takes only a sentence about the same thing away."""
        if sentence:
            self.say(sentence, about=about)
        elif self._about == about:
            self.say("")
