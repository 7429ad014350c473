"""A text field whose keys take effect in the order in which they were pressed."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.widgets import Input

_ACTIONS = {
    key: binding.action for binding in Binding.make_bindings(Input.BINDINGS)
    for key in [binding.key] if not binding.action.startswith(("copy", "cut", "paste"))
}  # fmt: skip


class Field(Input):
    """Textual's field writes a letter at once, but lets ctrl+u and backspace go up to the screen and come back as
    bindings: of several keys in one packet they would come after the letters that follow them."""

    SUBMITS = False
    """Whether enter takes effect here too, and not in the screen: with the text as it was when enter was pressed."""

    async def on_key(self, event: events.Key) -> None:
        if (action := _ACTIONS.get(event.key)) is not None and (self.SUBMITS or action != "submit"):
            event.prevent_default()
            event.stop()
            await self.run_action(action)
