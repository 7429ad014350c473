"""What the palette finds for a text, by keys that come one by one or all at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual import events
from textual.app import App
from textual.screen import Screen
from textual.widgets import OptionList

from tests.views.apps import burst
from tui import moves
from tui.selection import Selection
from tui.views.help import Entry
from tui.views.palette import Commands, Completion, Palette


class Floor(Screen[None]):
    """A screen with a directory that notes what it is asked."""

    COMMANDS = {Commands}

    def __init__(self) -> None:
        super().__init__()
        self.directory = self
        self.said: list[tuple[object, ...]] = []

    def entries(self) -> list[Entry]:
        names = ("first", "mode", *(f"other{i}" for i in range(20)))
        return [Entry(name, name[0], name, f"It is {name} [1].", "All") for name in names]

    def run(self, command_id: str) -> None:
        self.said.append(("run", command_id))

    def values(self, text: str) -> list[tuple[str, str, Callable[[], None]]]:
        return []

    def expanded(self, text: str) -> str:
        return text

    async def completions(self, text: str) -> list[Completion]:
        return []

    def places(self, text: str) -> list[tuple[str, str, Callable[[], None]]]:
        found = moves.typed(Selection(), text)
        return [(name, sentence, lambda name=name: self.said.append((name,))) for name, sentence, _ in found]  # type: ignore[misc]


class Above(App[None]):
    COMMANDS: set[type[Commands]] = set()  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.floor = Floor()

    def get_default_screen(self) -> Screen[None]:
        return self.floor


@pytest.mark.parametrize("patient", [True, False], ids=["read", "one packet"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("L2H3", ("go to L2H3",)),
        ("10 2", ("go to L10H2",)),
        ("l2n17", ("go to L2N17",)),
        ("mode", ("run", "mode")),
        ("", ("run", "first")),
        ("prompts a [b]c[/] [/", ("open a [b]c[/] [/",)),
    ],
)
async def test_enter_runs_what_was_typed(text: str, said: tuple[object, ...], patient: bool) -> None:
    app = Above()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(Palette())
        await pilot.pause(0.35)
        for character in text:
            app.post_message(events.Key({" ": "space"}.get(character, character), character))
        if patient:
            await pilot.pause(0.35)
        burst(app, ["enter", "enter"])
        await pilot.pause(0.35)
        assert app.floor.said == [said]
        assert app.screen is app.floor


async def test_enter_that_comes_before_the_list_waits_for_it() -> None:
    app = Above()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(Palette())
        burst(app, [*"mode", "enter", "enter"])
        await pilot.pause(0.5)
        assert app.floor.said == [("run", "mode")]


@pytest.mark.parametrize("text", ["[", "[/", "prompts [/x]", "9" * 5000, "l9h" + "9" * 5000, "\\[", "[b", "“", "zzz"])
async def test_no_text_breaks_it(text: str) -> None:
    app = Above()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(Palette())
        await pilot.pause()
        app.screen.post_message(events.Paste(text))
        app.screen.focused.post_message(events.Paste(text))  # type: ignore[union-attr]
        await pilot.pause(0.3)
        burst(app, ["backspace"])
        await pilot.pause(0.3)
        assert app.screen.query_one(OptionList) is not None
        burst(app, ["escape"])
        await pilot.pause()
        assert app.screen is app.floor


@pytest.mark.parametrize("key", ["pagedown", "pageup", "down", "up"])
async def test_pages_at_any_time_and_size(key: str) -> None:
    """The list may not be there yet, or have no room."""
    for size in ((100, 30), (8, 2), (1, 1)):
        app = Above()
        async with app.run_test(size=size) as pilot:
            app.push_screen(Palette())
            for _ in range(8):
                burst(app, [key, "e", key, "backspace", key])
                await pilot.pause(0.05)
            burst(app, ["escape"])
            await pilot.pause()
            assert app.screen is app.floor


async def test_pages_stop_at_the_ends() -> None:
    app = Above()
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(Palette())
        await pilot.pause(0.35)
        listing, last = app.screen.query_one(OptionList), 21
        for key, at in (("pageup", 0), ("pagedown", 10), ("pagedown", 20), ("pagedown", last), ("pageup", last - 10)):
            burst(app, [key])
            await pilot.pause(0.05)
            assert listing.highlighted == at


async def test_a_click_where_the_window_no_longer_is() -> None:
    app = Above()
    async with app.run_test(size=(40, 12)) as pilot:
        app.push_screen(Palette())
        await pilot.pause()
        place: dict[str, object] = {"widget": app.screen, "x": 84, "y": 10, "delta_x": 0, "delta_y": 0, "button": 1}
        shift = dict.fromkeys(("shift", "meta", "ctrl"), False)
        app.screen.post_message(events.Click(**place, **shift, screen_x=84, screen_y=10))  # type: ignore[arg-type]
        await pilot.pause()
        assert isinstance(app.screen, Palette)
