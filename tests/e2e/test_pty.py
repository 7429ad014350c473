"""The whole program on a terminal of its own: a session from start to quit, its bytes, and bad surroundings."""

from __future__ import annotations

import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.scenario import CONVENTIONS, LOAD, Session, clear_prompt, edit_prompt
from tests.e2e.terminal import APP, LINK, Terminal, environment

pytestmark = pytest.mark.e2e
Record = Callable[[str, object], None]
END = 4.0
"""Seconds to end in, three times the budget."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """Starts the app; its windows are closed after the test."""
    running = []

    def start(*arguments: str, size: tuple[int, int] = (120, 40), rate: float | None = None, **env: str) -> Session:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        terminal = Terminal([*APP, *arguments], environment(tmp_path, **env), folder, size, rate)
        running.append(terminal)
        return Session(terminal, folder)

    yield start
    for terminal in running:
        terminal.close()


def test_session(start: Callable[..., Session], record_property: Record) -> None:
    session = start()
    session.open()
    session.type_prompt()
    session.walk_heads()
    session.walk_cells()
    session.walk_views()
    session.resize(80, 24)
    heads = session.walk_heads()
    cells = session.walk_cells(20)
    session.resize(120, 40)
    session.export()
    assert re.search(rb"\x1b\]52;c;[A-Za-z0-9+/=]+\a", session.copy()), "the clipboard of this terminal"
    before = session.terminal.count
    time.sleep(2)
    idle = session.terminal.count - before
    seconds = session.quit()
    session.terminal.assert_restored()
    assert session.terminal.process.returncode == 0
    record_property("bytes", session.costs)
    record_property("bytes of a head at 80×24", heads)
    record_property("bytes of a cursor move at 80×24", cells)
    record_property("idle bytes in 2 s", idle)
    record_property("quit s", round(seconds, 2))
    assert max(heads) <= 25_000
    assert statistics.quantiles(cells, n=20)[-1] <= 2_000
    assert idle == 0
    assert seconds <= END


def _taken(terminal: Terminal) -> float:
    """Seconds from an arrow to the first byte that it brings, the median of five."""
    times = []
    for key in ("left", "right", "left", "right", "left"):
        terminal.settle(0.6)
        before, began = terminal.count, time.monotonic()
        terminal.press(key)
        while terminal.count == before:
            assert time.monotonic() - began < 5, "an arrow brings nothing"
            time.sleep(0.002)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def test_narrow_link(start: Callable[..., Session], record_property: Record) -> None:
    """A held arrow and held heads on 1 Mbit/s: how long the screen still moves after the key is let go."""
    session = start(rate=LINK, SSH_CONNECTION="127.0.0.1 1 127.0.0.1 22")
    session.open()
    session.terminal.settle(2.0, LOAD)  # what is computed in idle time is written when it is there, keys or not
    pause = max(1 / 30, 1.5 * _taken(session.terminal))  # a machine that is slower than a held key is no slow link
    record_property("keys a second", round(1 / pause))
    for name, key, budget in (("arrow", "left", 0.2), ("heads", "}", 1.2)):
        for _ in range(90):
            session.terminal.press(key if session.terminal.count % 2 or key == "}" else "right")
            time.sleep(pause)
        released = time.monotonic()
        session.terminal.settle(0.6)
        lag = max(0.0, session.terminal.last_byte - released)
        record_property(f"lag after {name} s", round(lag, 2))
        assert lag <= budget * 3
    session.quit()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("loading", signal.SIGHUP),
        ("loading", signal.SIGTERM),
        ("loading", signal.SIGINT),
        ("loaded", signal.SIGTERM),
    ],
)
def test_signal(start: Callable[..., Session], moment: str, number: signal.Signals, record_property: Record) -> None:
    session = start()
    if moment == "loaded":
        session.open()
    else:
        session.terminal.wait_for("Prompt ▸")
        time.sleep(1)
    session.terminal.signal(number)
    record_property("end s", round(session.terminal.ended(END), 2))
    session.terminal.assert_restored()


def test_quit_while_loading(start: Callable[..., Session], record_property: Record) -> None:
    session = start()
    session.terminal.wait_for("Prompt ▸")
    time.sleep(1.5)
    session.terminal.press("q")
    record_property("quit s", round(session.terminal.ended(END), 2))
    session.terminal.assert_restored()


@pytest.mark.parametrize(("moment", "ignored"), [("loading", False), ("loading", True), ("loaded", True)])
def test_window_closed(tmp_path: Path, moment: str, ignored: bool) -> None:
    prefix = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh") if ignored else ()
    with Terminal([*prefix, *APP], environment(tmp_path), tmp_path) as terminal:
        terminal.wait_for(*((CONVENTIONS, LOAD) if moment == "loaded" else ("Prompt ▸",)))
        if moment == "loading":
            time.sleep(1)
        terminal.hang_up()
        terminal.ended(2)


def test_any_size(start: Callable[..., Session]) -> None:
    """Nothing but the program's own drawing at any size, while loading and after; it still takes keys."""
    session = start(size=(20, 5))
    session.terminal.settle(1, LOAD)
    for size in ((80, 24), (1, 1), (200, 60), (120, 40)):
        session.terminal.resize(*size)
        time.sleep(0.3)
    session.terminal.wait_for(CONVENTIONS, LOAD)
    for size in ((20, 5), (1, 1), (49, 11), (300, 90)):
        session.terminal.resize(*size)
        session.terminal.press("}", "2", "z", "left", "m", "1")
        session.terminal.settle(0.5, LOAD)
    session.terminal.resize(100, 30)
    session.terminal.wait_for(CONVENTIONS)
    assert "Traceback" not in session.terminal.text
    session.quit()
    assert session.terminal.process.returncode == 0


def test_typed_while_loading(start: Callable[..., Session]) -> None:
    """What is typed before the model is there counts."""
    session = start()
    session.terminal.wait_for("Prompt ▸")
    edit_prompt(session.terminal)
    session.terminal.send("The capital of Japan is")
    session.terminal.wait_for("→ ·Tokyo", LOAD)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("no-such-owner/no-such-model", "folder"),
        ("./no/such/folder", "no/such/folder"),
    ],
)
def test_model_that_is_not_there(
    start: Callable[..., Session], model: str, words: str, record_property: Record
) -> None:
    """One sentence with a way on, in under 15 s after the libraries are there, and the app stays open."""
    session = start(model)
    begun = time.monotonic()
    text = session.terminal.wait_for("press M", 15 * 3)
    record_property("s", round(time.monotonic() - begun, 1))
    assert words in " ".join(text.split())
    assert "Traceback" not in text
    session.quit()
    assert session.terminal.process.returncode == 0


def test_prompt_full_of_traps(start: Callable[..., Session]) -> None:
    """Control characters, markup, wide and combining characters, and 10,000 characters pasted at once."""
    session = start()
    session.open()
    edit_prompt(session.terminal)
    traps = "[bold red]x[/] [/ \\[ é 日本 👩‍👩‍👧 \u0301 \u202e abc ก็"
    session.terminal.send(f"\x1b[200~{traps}\x1b[201~")
    session.terminal.settle(0.6)
    session.terminal.send(f"\x1b[200~{'word ' * 2000}\x1b]0;title\x07\x1b[31m\x1b[201~")
    session.terminal.wait_for("64", 30)  # the model's context, in the sentence that refuses
    session.terminal.settle(0.6)
    clear_prompt(session.terminal)
    session.terminal.send("The capital of Japan is")
    session.terminal.wait_for("→ ·Tokyo", 30)
    session.terminal.press("escape")
    session.quit()
    assert session.terminal.process.returncode == 0


def test_config_that_is_broken(start: Callable[..., Session], tmp_path: Path) -> None:
    file = tmp_path / "config" / "circuit-tui" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("theme = nord")
    session = start()
    session.terminal.wait_for(lambda text: "is not valid TOML" in " ".join(text.split()))


def test_first_paint_brings_in_no_library(tmp_path: Path, record_property: Record) -> None:
    """The screen is there before torch, transformer_lens and plotext are."""
    names = ("torch", "transformer_lens", "plotext")
    code = (
        "import sys, os\n"
        "from textual.drivers import linux_driver as d\n"
        "write = d.LinuxDriver.write\n"
        "def look(self, data):\n"
        "    if 'Prompt' in data and not hasattr(d, 'seen'):\n"
        f"        d.seen = [n for n in {names} if n in sys.modules]\n"
        "        open('seen', 'w').write(repr(d.seen))\n"
        "    return write(self, data)\n"
        "d.LinuxDriver.write = look\n"
        "from tui import cli\n"
        "cli.main([])\n"
    )
    begun = time.monotonic()
    with Terminal([sys.executable, "-c", code], environment(tmp_path), tmp_path) as terminal:
        terminal.wait_for("Prompt ▸")
        record_property("first paint s", round(time.monotonic() - begun, 2))
        assert (tmp_path / "seen").read_text() == "[]"
