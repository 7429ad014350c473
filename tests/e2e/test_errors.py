"""Errors inside the program, on a terminal: it says so and goes on, or ends with a sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scenario import LOAD
from tests.e2e.terminal import KEYS, ROOT, Terminal, environment

pytestmark = pytest.mark.e2e
SCRIPT = str(ROOT / "tests" / "e2e" / "faulty_app.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def faulty(home: Path, where: str) -> Terminal:
    return Terminal([sys.executable, SCRIPT, where], environment(home), home)


def log_of(home: Path) -> str:
    return (home / "state" / "circuit-tui" / "circuit-tui.log").read_text()


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    with faulty(home, "keys") as out:
        out.wait_for("commands", LOAD)
        yield out


def test_an_error_is_said_and_the_program_goes_on(terminal: Terminal, home: Path) -> None:
    for key in ("f2", "f3"):
        terminal.press(key)
        terminal.wait_for("broken on purpose")
        terminal.press("escape")
        terminal.wait_for(lambda text: "broken on purpose" not in text)
    terminal.press("?")
    terminal.wait_for("type to search")
    terminal.press("escape")
    terminal.wait_for(lambda text: "type to search" not in text)
    terminal.press("q")
    terminal.ended(10)
    assert terminal.process.returncode == 0
    assert log_of(home).count("RuntimeError: broken on purpose") == 2


def test_the_third_ends_it(terminal: Terminal, home: Path) -> None:
    terminal.press("i", "end")
    terminal.send(" and so on")
    terminal.press("enter")
    terminal.wait_for("and so on")
    terminal.send(KEYS["f2"] + KEYS["f3"] + KEYS["f2"])
    terminal.ended(10)
    assert terminal.process.returncode == 1
    terminal.assert_restored()
    assert b"Ended on an error" in terminal.raw
    assert b"Traceback" not in terminal.raw
    assert log_of(home).count("RuntimeError: broken on purpose") == 3
    assert "and so on" in (home / "state" / "circuit-tui" / "prompts.jsonl").read_text()


@pytest.mark.parametrize("moment", ["compose", "on_mount"])
def test_a_screen_that_cannot_be_made(home: Path, moment: str) -> None:
    with faulty(home, moment) as terminal:
        terminal.ended(LOAD)
        assert terminal.process.returncode == 1
        assert b"Ended on an error" in terminal.raw
        assert b"Traceback" not in terminal.raw
        terminal.assert_restored()
        assert "broken on purpose" in log_of(home)
