"""No dialog can be closed twice, by whatever keys that arrive in one packet."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import OptionList, Static

import tui.views
from tests.views.apps import burst
from tests.views.grids import HEADER
from tui.label import Label
from tui.results import Table
from tui.views.ask import Ask
from tui.views.head_card import HeadCard
from tui.views.help import Entry, Help
from tui.views.models import Models
from tui.views.once import Once
from tui.views.palette import Palette

ENTRIES = [Entry(name, name[0], name, f"Does {name}.", "All") for name in ("open", "other")]


class Two(Provider):
    """Two commands that say that they ran."""

    async def discover(self) -> Hits:
        for name in ("open", "other"):
            yield DiscoveryHit(name, lambda name=name: self.app.said.append(name))  # type: ignore[attr-defined]

    async def search(self, query: str) -> Hits:
        yield Hit(1.0, "open", lambda: self.app.said.append("open"))  # type: ignore[attr-defined]


def card() -> HeadCard:
    made = HeadCard((1, 2))
    made.show("L1H2", Table(HEADER, ("what", "of", "value"), (("fed (K)", "L0H1", 1.0),)), None, "", False, "")
    return made


def models() -> Models:
    found = [Label(f"/runs/{name}", name, "below runs", f"/runs/{name}") for name in ("open", "other")]
    return Models(lambda one: [("from", one.folder, "")], lambda made: made.post_message(Models.Found(found, True)),
                  lambda one: one.name == "open")  # fmt: skip


DIALOGS: dict[str, Callable[[], Screen[object]]] = {
    "ask": lambda: Ask("answer", "Answer", "Paris"),
    "card": card,
    "models": models,
    "help": lambda: Help(ENTRIES, "about"),
    "palette": lambda: Palette([Two]),
}  # fmt: skip
KEYS = [
    ["escape", "escape"],
    ["enter", "enter"],
    ["enter", "enter", "enter", "enter"],
    ["down", "enter", "enter"],
    ["up", "enter", "enter", "escape", "escape"],
    ["enter", "escape"],
    ["escape", "enter", "escape", "enter"],
    ["o", "enter", "enter", "escape"],
    ["escape", "o", "enter"],
    ["tab", "down", "up", "pagedown", "tab", "enter", "escape"],
]


class Floor(App[None]):
    """What the dialogs stand on: closes an answered question, as the explorer does, and notes what it heard."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self) -> None:
        super().__init__()
        self.said: list[object] = []

    def compose(self) -> ComposeResult:
        yield Static("floor")

    def on_ask_answered(self, message: Ask.Answered) -> None:
        self.said.append("answered")
        if isinstance(self.screen, Ask):
            self.screen.dismiss()

    def on_models_chosen(self, message: Models.Chosen) -> None:
        self.said.append(message.source.rpartition("/")[2])

    def on_head_card_closed(self) -> None:
        self.said.append("closed")


@pytest.mark.parametrize("name", DIALOGS)
async def test_keys_of_one_packet_close_once(name: str) -> None:
    app = Floor()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(Screen())  # what a second close would take away
        for keys in KEYS:
            app.said.clear()
            app.push_screen(DIALOGS[name](), app.said.append)
            await pilot.pause(0.3 if name == "palette" else 0)  # a quarter of a second later it lists its commands
            burst(app, keys)
            await pilot.pause()
            await closed(app, pilot, 2)
            for word in ("open", "other", "closed", None):
                assert app.said.count(word) <= 1, (keys, app.said)


@pytest.mark.parametrize("name", DIALOGS)
async def test_keys_that_come_before_it_is_there(name: str) -> None:
    app = Floor()
    async with app.run_test(size=(100, 30)) as pilot:
        for keys in KEYS:
            app.screen.call_later(lambda: app.push_screen(DIALOGS[name]()) and None)
            burst(app, keys)
            await pilot.pause(0.02)
            await closed(app, pilot, 1)


async def closed(app: App[None], pilot: Pilot[None], screens: int) -> None:
    """Escape is enough to come back to so many screens, however often it is pressed."""
    for _ in range(3):
        burst(app, ["escape", "escape"])
        await pilot.pause(0.02)
    assert len(app.screen_stack) == screens


@pytest.mark.parametrize("name", DIALOGS)
async def test_one_under_another_stays(name: str) -> None:
    """What is dismissed late does not take away what has been opened since."""
    app = Floor()
    async with app.run_test(size=(100, 30)) as pilot:
        dialog, other = DIALOGS[name](), Ask("note", "Note")
        app.push_screen(dialog)
        await pilot.pause()
        app.push_screen(other)
        await pilot.pause()
        await dialog.dismiss()
        if isinstance(dialog, HeadCard):
            dialog.action_close()
            dialog.action_go()
        assert app.screen is other
        assert app.screen_stack[-2] is dialog
        assert app.said == []
        other.dismiss()
        other.dismiss()
        await pilot.pause()
        assert app.screen is dialog


async def test_a_click_and_a_key_choose_once() -> None:
    app = Floor()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(Palette([Two]))
        await pilot.pause(0.35)
        listing = app.screen.query_one(OptionList)
        listing.action_select()
        burst(app, ["enter"])
        listing.action_select()
        await pilot.pause(0.2)
        assert app.said == ["open"]
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize("name", DIALOGS)
async def test_two_sizes_on_their_way_come_to_rest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app, lay_out, times = Floor(), Screen._refresh_layout, 0

    def counted(self: Screen[object], *args: object, **options: object) -> None:
        nonlocal times
        times += 1
        assert times < 100, "for ever"
        lay_out(self, *args, **options)  # type: ignore[arg-type]

    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(DIALOGS[name]())
        await pilot.pause(0.3)
        monkeypatch.setattr(Screen, "_refresh_layout", counted)
        with app.batch_update():  # as when a choice in the palette closes it
            app.post_message(events.Resize(Size(80, 20), Size(80, 20)))
            await pilot.pause(0.05)
            for size in (Size(40, 20), Size(80, 20)):
                app.screen.post_message(events.Resize(size, size))
                app.screen.call_later(lambda: None)
            await pilot.pause(0.05)
        await pilot.pause()
        assert app.screen.size.width == 80


def test_every_dialog_closes_once() -> None:
    """A dialog that somebody adds is one of them."""
    for module in pkgutil.iter_modules(tui.views.__path__):
        for thing in vars(importlib.import_module(f"tui.views.{module.name}")).values():
            if isinstance(thing, type) and issubclass(thing, Screen) and thing.__module__.startswith("tui."):
                assert issubclass(thing, Once), thing
                assert thing.dismiss is Once.dismiss, thing
