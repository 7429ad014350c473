"""The keys at the bottom: what can be done here and now, as far as it fits whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.layout import WidgetPlacement
from textual.screen import Screen
from textual.widgets import Footer
from textual.widgets._footer import FooterKey, FooterLabel, KeyGroup


@dataclass(frozen=True)
class Offer:
    """A key that means something where the focus is."""

    key: str
    """As Textual names it."""
    shown: str
    word: str
    action: str


class KeysFooter(Footer):
    """Textual's footer: first the keys of what has the focus, then those of the screen but for those that mean nothing
    here; without the key that the edge would cut and those after it."""

    def __init__(self, here: Callable[[], tuple[Sequence[Offer], Sequence[str]]]) -> None:
        """``here``: what stands first now, and the actions whose keys are left out."""
        super().__init__(compact=True, show_command_palette=False)
        self._here = here
        self._known = False
        """Whether the screen's keys are known: nothing is shown before."""
        self._told: tuple[Sequence[Offer], Sequence[str]] = (), ()
        self._drawn_of: tuple[object, ...] = ()
        """What the keys that stand there were made of."""

    def renew(self) -> None:
        """Another page is shown: its keys, where they are others.

        Another focus is seen without this, and after the first paint, which it would hold up here.
        """
        if self._known and self._here()[1] != self._told[1]:
            self.refresh(recompose=True)

    def bindings_changed(self, screen: Screen[Any]) -> None:
        self._known = True
        super().bindings_changed(screen)

    async def recompose(self) -> None:
        """Only where other keys would stand there: each is a widget, and each change of the focus asks for all anew."""
        if self.is_attached and self._drawn_of != self._made_of():
            await super().recompose()

    def _made_of(self) -> tuple[object, ...]:
        bindings = self.screen.active_bindings.values() if self._known else ()
        shown = [(each.binding, each.enabled, each.tooltip) for each in bindings if each.binding.show]
        offers, without = self._here()
        return self._known, shown, [*offers], [*without]

    def compose(self) -> ComposeResult:
        self._drawn_of = self._made_of()
        if self.is_mounted:
            self.mutate_reactive(Footer.compact)  # else Textual keeps every key that was ever bound to it
        self._told = offers, without = self._here()
        for one in offers if self._known else ():
            yield FooterKey(one.key, one.shown, one.word, one.action).data_bind(compact=Footer.compact)
        for widget in super().compose():
            if not (isinstance(widget, FooterKey) and widget.action in without):
                yield widget

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
