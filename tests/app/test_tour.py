"""The tour: offered once, begun by a command, walked by real keys, left by esc."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.test_snapshots import SIZES, colours, recorded_app
from tui import config, tour
from tui.app import WELCOME, CircuitApp
from tui.explorer import Explorer
from tui.views.help import Help

assert colours  # the fixture that snapshots need

WALK: tuple[tuple[str, ...], ...] = (
    ("right_curly_bracket",), ("k",), ("2",), ("m",), ("p",), ("colon", *"L3H3", "enter"), ("a",), ("backspace",),
    ("i", "ctrl+u", *"The king", "enter"),
)  # fmt: skip


def card(explorer: Explorer) -> str:
    return text_of(explorer, "#tour") if explorer.query_one("#tour").has_class("shown") else ""


async def walk(explorer: Explorer, pilot: Pilot[None], steps: int) -> None:
    """Do what the first steps ask for."""
    for at, keys in enumerate(WALK[:steps]):
        if keys[0] == "colon":
            await pilot.press(keys[0])
            await until(pilot, lambda: explorer.app.screen is not explorer)
            await pilot.press(*keys[1:])
            await until(pilot, lambda: explorer.app.screen is explorer)
        else:
            await pilot.press(*keys)
        await until(pilot, lambda at=at: f"Tour {at + 2}/10" in card(explorer))  # type: ignore[misc]
        await settled(explorer, pilot)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_it_is_walked_by_the_keys_that_it_asks_for(size: tuple[int, int]) -> None:
    async with driven(size) as (explorer, pilot):
        assert card(explorer) == ""
        await pressed(explorer, pilot, "f4")
        assert card(explorer).startswith("Tour 1/10 press }: the next head")
        await pressed(explorer, pilot, "right_parenthesis")
        assert card(explorer).startswith("Tour 1/10"), "any other key does what it does"
        await walk(explorer, pilot, len(WALK))
        assert "all of it follows what you type" in card(explorer)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(explorer.app.screen, Help))
        await pilot.press("escape")
        await until(pilot, lambda: explorer.app.screen is explorer)
        assert card(explorer) == ""
        assert "that is the tour" in notice(explorer)
        assert explorer.selection.stack == ()


async def test_esc_leaves_it_and_it_begins_anew() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "f4", "right_curly_bracket", "p", "escape")
        assert card(explorer) == ""
        assert "the tour is left" in notice(explorer)
        await pressed(explorer, pilot, "colon")
        await pilot.press(*"tour")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await until(pilot, lambda: card(explorer).startswith("Tour 1/10"))


async def test_it_is_offered_on_the_first_start_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    assert [config.first_start(), config.first_start()] == [True, False]
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    assert not config.first_start(), "where that cannot be kept"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    async with driven(welcome=True) as (explorer, pilot):
        assert notice(explorer) == WELCOME
        await pressed(explorer, pilot, "2")
        assert notice(explorer) == "", "gone with the next view"
    path = tmp_path / "config.toml"
    path.write_text("welcome = true\n")
    assert "there is no option 'welcome'" in config.load(path).notice


def test_every_step_has_words() -> None:
    for step in tour.STEPS:
        assert step.asks(config_selection())
    assert "?" in tour.farewell()


def config_selection() -> tour.Selection:
    return tour.Selection()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("steps", [0, 7], ids=["first", "knocked out"])
def test_snapshot(snap_compare: Callable[..., bool], steps: int, size: tuple[int, int]) -> None:
    app: CircuitApp = recorded_app()

    async def run(pilot: Pilot[None]) -> None:
        explorer = app.explorer
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await pressed(explorer, pilot, "f4")
        await walk(explorer, pilot, steps)
        explorer.scene.wishes.activity = ""  # which job came last is a race
        explorer.draw()
        await pilot.pause()

    assert snap_compare(app, run_before=run, terminal_size=size)
