"""The process around the app: signals, a lost terminal, noise, and what is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.terminal import APP, ROOT, Terminal, environment

pytestmark = pytest.mark.e2e
END = 4.0
"""Seconds to end in, three times the budget."""
Start = Callable[..., Terminal]


@pytest.fixture
def sample(tmp_path: Path) -> Start:
    """Starts the sample app and waits for it."""
    running = []

    def start(behaviour: str, *arguments: str, prefix: tuple[str, ...] = (), **env: str) -> Terminal:
        script = str(ROOT / "tests" / "e2e" / "sample_app.py")
        out = Terminal(
            [*prefix, sys.executable, script, behaviour, *arguments], environment(tmp_path, **env), tmp_path, (60, 12)
        )
        running.append(out)
        return out

    yield start
    for terminal in running:
        terminal.close()


def log_of(home: Path) -> str:
    return (home / "state" / "circuit-tui" / "circuit-tui.log").read_text()


def test_quit(sample: Start, record_property: Callable[[str, object], None]) -> None:
    terminal = sample("behave")
    terminal.wait_for("ready")
    terminal.press("q")
    record_property("quit s", round(terminal.ended(END), 2))
    assert terminal.process.returncode == 0
    terminal.assert_restored()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("behaviour", ["behave", "hang"])
def test_signal(
    sample: Start, behaviour: str, number: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    terminal = sample(behaviour)
    terminal.wait_for("ready")
    if behaviour == "hang":
        terminal.settle(0.5)
    terminal.signal(number)
    record_property("end s", round(terminal.ended(END), 2))
    assert terminal.process.returncode == 128 + number
    terminal.assert_restored()


@pytest.mark.parametrize("prefix", [(), ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")], ids=["SIGHUP", "ignored"])
@pytest.mark.parametrize("behaviour", ["behave", "hang"])
def test_terminal_gone(sample: Start, prefix: tuple[str, ...], behaviour: str) -> None:
    terminal = sample(behaviour, prefix=prefix)
    terminal.wait_for("ready")
    if behaviour == "hang":
        terminal.settle(0.5)
    terminal.hang_up()
    terminal.ended(2)
    assert terminal.process.returncode == 128 + signal.SIGHUP


def test_noise_goes_to_the_log(sample: Start, tmp_path: Path) -> None:
    terminal = sample("chatter")
    terminal.wait_for("ready")
    terminal.settle()
    assert "noise" not in terminal.text
    terminal.press("q")
    terminal.ended(END)
    assert b"noise" not in terminal.raw
    for line in ("on descriptor 1", "on descriptor 2", "of a child", "of warnings"):
        assert f"noise {line}" in log_of(tmp_path)


def test_crash_leaves_a_sentence_and_the_traceback_in_the_log(sample: Start, tmp_path: Path) -> None:
    terminal = sample("break_down")
    terminal.ended(20)
    assert terminal.process.returncode == 1
    terminal.assert_restored()
    assert b"Ended on an error" in terminal.raw
    assert b"RuntimeError" not in terminal.raw
    assert "broken on purpose" in log_of(tmp_path)
    assert "\x1b" not in log_of(tmp_path)


def test_size_is_the_terminal_s(sample: Start) -> None:
    terminal = sample("behave", "gpt2")
    assert "sample gpt2 256 Size(width=60, height=12)" in terminal.wait_for("ready")


@pytest.mark.parametrize(
    ("arguments", "env", "system"),
    [
        ((), {"TERM": "alacritty"}, "truecolor"),
        ((), {"TERM": "xterm"}, "256"),
        (("--color", "16"), {"COLORTERM": "truecolor"}, "standard"),
        (("--color", "truecolor"), {"NO_COLOR": "1"}, "truecolor"),
    ],
)
def test_colours_reach_the_app(sample: Start, arguments: tuple[str, ...], env: dict[str, str], system: str) -> None:
    assert f" {system} " in sample("behave", *arguments, **env).wait_for("ready")


def test_log_that_cannot_be_written(sample: Start) -> None:
    terminal = sample("behave", "--log", "/nowhere/log")
    terminal.ended(5)
    assert terminal.process.returncode == 2
    assert b"/nowhere/log cannot be written to" in terminal.raw


def test_home_that_cannot_be_written(sample: Start) -> None:
    sample("behave", XDG_STATE_HOME="/proc/nowhere").wait_for("ready")


def test_a_log_that_is_not_kept_is_said(tmp_path: Path) -> None:
    with Terminal(APP, environment(tmp_path, XDG_STATE_HOME="/proc/nowhere"), tmp_path) as terminal:
        terminal.wait_for("warnings and errors are not kept, /proc/nowhere/circuit-tui/circuit-tui.log cannot be")
        terminal.press("q")
        terminal.ended(20)
        assert terminal.process.returncode == 0


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_dumb_terminal(tmp_path: Path, term: str) -> None:
    with Terminal(APP, environment(tmp_path, TERM=term), tmp_path) as terminal:
        terminal.ended(5)
        assert terminal.process.returncode == 2
        assert terminal.raw.count(b"\n") == 1
        assert b"cannot draw a screen" in terminal.raw


def test_no_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        APP, env=environment(tmp_path), cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=10
    )
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
