"""The keys at the bottom: those that fit whole."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterLabel, KeyGroup


class KeysFooter(Footer):
    """Textual's footer, without the key that the edge would cut and those after it."""

    DEFAULT_CSS = "KeysFooter > .cut { visibility: hidden; }"

    async def recompose(self) -> None:
        await super().recompose()
        self.call_after_refresh(self._leave_out)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._leave_out)

    def _leave_out(self, *_: Any) -> None:
        room, keys = self.region.right, list[list[Widget]]()
        for child in self.children:  # several keys of one name are followed by it
            if isinstance(child, FooterLabel) and keys and isinstance(keys[-1][-1], KeyGroup):
                keys[-1].append(child)
            else:
                keys.append([child])
        for key in keys:
            fits = max(part.region.right for part in key) <= room
            for part in key:
                part.set_class(not fits, "cut")
