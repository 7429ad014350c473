"""The card of the tour, above the inspector: what the last key has shown, and which comes next."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class TourCard(Static):
    """Out of sight until there is something to say."""

    DEFAULT_CSS = """
    TourCard { height: auto; max-height: 6; display: none; background: $panel; padding: 0 1; }
    TourCard { border-top: solid $accent; }
    TourCard.shown { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(id="tour")

    def show(self, shown: str, place: str, asks: str) -> None:
        """What was shown last ("" at the beginning), which step comes, and what it asks for."""
        lines = [Content.assemble(("✓ ", "$text-success"), (shown, "$text"))] if shown else []
        lines.append(Content.assemble((f"{place} ", "bold $accent"), (asks, "bold $text")))
        lines.append(Content.styled("any other key does what it always does · esc leaves the tour", "$text-muted"))
        self.update(Content("\n").join(lines))
        self.add_class("shown")

    def hide(self) -> None:
        """The tour is over."""
        self.remove_class("shown")
