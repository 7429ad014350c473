"""Errors in handlers of the app: said and logged, and only the third in a short time ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.app import ComposeResult
from textual.geometry import Size
from textual.message import Message
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Input, Static

import tui.app
from tests.app.driving import until
from tui.app import CircuitApp
from tui.config import Options, read_history


class Fault(Exception):
    """On purpose."""


class Slow:
    """A bench on which the model never is there."""

    def compute(self, job: object, ctx: Any) -> object:
        while True:
            ctx.check()
            time.sleep(0.01)

    def close(self) -> None: ...
    def free(self) -> None: ...


class Boom(Message):
    pass


class Broken(ModalScreen[None]):
    """A dialog that cannot be made."""

    BINDINGS = [("escape", "dismiss")]

    def compose(self) -> ComposeResult:
        yield Static("half")
        fail()


class Seen(CircuitApp):
    """As on a terminal: in a headless app errors fail the test."""

    is_headless = False  # type: ignore[assignment]
    CSS_PATH = Path(tui.app.__file__).with_name("style.tcss")
    BINDINGS = [("f2", "fail"), ("f3", "count")]

    def __init__(self) -> None:
        super().__init__(Options(), bench=Slow)
        self.counted = 0

    def action_fail(self) -> None:
        fail()

    def action_count(self) -> None:
        self.counted += 1


def fail(*_: object) -> None:
    raise Fault("on [purpose]")


def press(app: CircuitApp, key: str) -> None:
    app.post_message(events.Key(key, key if len(key) == 1 else None))


async def work(app: CircuitApp) -> None:
    raise Fault("in a worker")


FAULTS: dict[str, Callable[[CircuitApp], object]] = {
    "a key": lambda app: press(app, "f2"),
    "the app's loop": lambda app: app.call_later(fail),
    "the screen's loop": lambda app: app.explorer.call_later(fail),
    "after a message": lambda app: app.explorer.call_next(fail),
    "a timer": lambda app: app.explorer.set_timer(0.001, fail),
    "a widget of Textual's": lambda app: app.explorer.query_one(Footer).call_later(fail),
    "the prompt": lambda app: app.explorer.query_one(Input).call_later(fail),
    "a worker": lambda app: app.run_worker(work(app)),
    "a dialog": lambda app: app.push_screen(Broken()),
}


def notice(app: CircuitApp) -> str:
    line = app.explorer.query_one("#notice", Static)
    return str(line.render()) if line.display else ""


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_app_goes_on(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Seen()
    async with app.run_test() as pilot:
        await pilot.pause(0.1)
        FAULTS[fault](app)
        await until(pilot, lambda: 'raise Fault("' in caplog.text)
        await pilot.pause(0.1)
        if len(app.screen_stack) > 1:
            press(app, "escape")
        await until(pilot, lambda: "Fault" in notice(app))
        assert "circuit-tui.log" in notice(app)
        assert 'raise Fault("' in caplog.text, "the details are logged"
        app.explorer.notice.say("")
        for _ in range(2):
            press(app, "escape")
            press(app, "f3")
            await pilot.pause(0.05)
        await until(pilot, lambda: app.counted == 2)  # keys reach the app: what passes nothing on holds them a second
        assert len(app.screen_stack) == 1
        app.explorer.call_later(app.explorer.notice.say, "the screen hears")
        press(app, "i")
        press(app, "X")
        await until(pilot, lambda: app.ahead.at_rest)
        await pilot.pause()
        assert notice(app) == "the screen hears"
        assert "X" in app.explorer.query_one(Input).value
        assert app.return_code is None


async def three(app: CircuitApp, pilot: Pilot[None]) -> None:
    for _ in range(3):
        assert app.is_running
        press(app, "f2")
        await pilot.pause(0.05)


async def test_the_third_ends_it_and_keeps_what_can_be_kept(caplog: pytest.LogCaptureFixture) -> None:
    app = Seen()
    async with app.run_test() as pilot:
        await pilot.pause(0.1)
        app.explorer.prompting.history.append("typed before the errors")
        await three(app, pilot)
        assert read_history()[-1] == "typed before the errors"
    assert app.return_code == 1
    assert len([record for record in caplog.records if record.exc_info]) == 3


async def test_errors_far_apart_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tui.app, "ERRORS_WITHIN", 0.0)
    app = Seen()
    async with app.run_test() as pilot:
        await pilot.pause(0.1)
        await three(app, pilot)
        assert app.return_code is None
        assert "Fault" in notice(app)


async def test_errors_fail_tests() -> None:
    """What is survived on a terminal is not hidden from a test."""

    class Tested(Seen):
        is_headless = True  # type: ignore[assignment]

    with pytest.raises(Fault):
        await run(Tested(), "f2")


async def run(app: CircuitApp, *keys: str) -> None:
    async with app.run_test() as pilot:
        await pilot.pause(0.1)
        for key in keys:
            press(app, key)
            await pilot.pause(0.1)


@pytest.mark.parametrize("moment", ["compose", "on_mount"])
async def test_an_app_that_cannot_be_drawn_ends(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Seen()
    monkeypatch.setattr(type(app.explorer), moment, fail)
    with pytest.raises(Fault):
        await run(app)
    assert app.return_code == 1




async def test_a_mouse_on_what_is_just_taken_away() -> None:
    """It is still on the screen, and has no parent any more."""
    app = CircuitApp(Options(), bench=Slow)
    async with app.run_test() as pilot:
        await pilot.pause(0.1)
        notice = app.explorer.query_one("#inspector", Static)
        x, y = notice.region.x + 1, notice.region.y
        with app.batch_update():
            await notice.remove()
            assert app.get_widget_at(x, y)[0] is notice
            for kind in (events.MouseDown, events.MouseMove, events.MouseUp):
                app.post_message(kind(None, x, y, 0, 0, 1, False, False, False, x, y))
            await pilot.pause(0.05)
        await pilot.pause()
        assert app.is_running


async def test_two_sizes_on_their_way_come_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """While drawing is held back, each would bring the other one forth for ever."""
    app, lay_out, times = Seen(), Screen._refresh_layout, 0

    def counted(self: Screen[object], *args: object, **options: object) -> None:
        nonlocal times
        times += 1
        if times >= 100:
            raise SystemExit("for ever")
        lay_out(self, *args, **options)  # type: ignore[arg-type]

    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.1)
        monkeypatch.setattr(Screen, "_refresh_layout", counted)
        with app.batch_update():
            app.post_message(events.Resize(Size(80, 24), Size(80, 24)))
            await pilot.pause(0.05)
            for size in (Size(40, 20), Size(80, 24)):
                app.screen.post_message(events.Resize(size, size))
                app.screen.call_later(lambda: None)
            await pilot.pause(0.05)
        await pilot.pause()
        assert app.screen.size.width == 80
        assert times < 20
