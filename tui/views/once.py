"""What all dialogs share: they close once, and speak to the screen that they stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import events
from textual.await_complete import AwaitComplete
from textual.message import Message
from textual.screen import Screen, ScreenResultType


def drop_outdated(screen: Screen[Any], event: events.Resize) -> bool:
    """Drop a size that the window no longer has; whether it was. Every screen's ``on_resize`` calls this first.

    A screen that is laid out sends itself the size that it now has. When two sizes are on their way while drawing is
    held back (when the palette closes, when the app ends), each brings the other one forth, for ever.
    """
    outdated = event.size != screen.app.size
    if outdated:
        event.stop()
        event.prevent_default()
    return outdated


class Once(Screen[ScreenResultType]):
    """A dialog that a second key of the same packet cannot close again.

    Textual's ``dismiss`` takes the uppermost screen away, whichever was asked to go: the one below, if this one is
    gone. Several keys may have been sent to a dialog before the first of them closes it.

    Stands second among the bases: styles follow the first one (``ModalScreen``), ``dismiss`` is found here still.
    """

    answering = False
    """Whether enter was pressed and it is not known yet what comes of it: what is typed waits for that."""

    def on_resize(self, event: events.Resize) -> None:
        drop_outdated(self, event)

    @property
    def on_top(self) -> bool:
        """Whether the user sees it and types to it: not closed, and under nothing."""
        return self.app.screen_stack[-1:] == [self]

    @property
    def closed(self) -> bool:
        """Whether it is none of the screens any more: what it draws on is being taken down."""
        return self not in self.app.screen_stack

    def once_laid_out(self, act: Callable[[], object]) -> None:
        """Do it when the parts have their sizes, unless it was closed before."""
        self.call_after_refresh(lambda: None if self.closed else act())

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close with a result. Does nothing when closed already, or under another screen."""
        if self.on_top and self.is_mounted:
            return super().dismiss(result)
        if self.on_top:
            self.call_later(self.action_dismiss, result)  # half a dialog cannot be taken down: parts are to come
        return AwaitComplete()

    def tell(self, message: Message) -> None:
        """Post to the screen below; once closed, to nobody."""
        stack = self.app.screen_stack
        if self in stack[1:]:
            stack[stack.index(self) - 1].post_message(message)
