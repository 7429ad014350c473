"""The keys at the bottom: those that fit whole."""

from __future__ import annotations

from textual.layout import WidgetPlacement
from textual.widgets import Footer
from textual.widgets._footer import FooterLabel, KeyGroup


class KeysFooter(Footer):
    """Textual's footer, without the key that the edge would cut and those after it."""

    def process_layout(self, placements: list[WidgetPlacement]) -> list[WidgetPlacement]:
        """Decided where the keys are laid out, so that no frame shows a cut one.

        Its own size is that of the layout before: what counts is the app's, whose whole width it has.
        """
        kept: list[WidgetPlacement] = []
        key: list[WidgetPlacement] = []
        for placement in super().process_layout(placements):
            named_after = key and isinstance(key[-1].widget, KeyGroup) and isinstance(placement.widget, FooterLabel)
            if not named_after:  # several keys of one name are followed by it
                kept += key
                key = []
            if placement.region.right > self.app.size.width:
                return kept
            key.append(placement)
        return kept + key
