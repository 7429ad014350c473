"""A program that the system stops for seconds, and a line that it stops: afterwards all is as it was."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.e2e.player import ESCAPE
from tests.e2e.scenario import LOAD, head_of
from tests.e2e.terminal import RECORDED, Terminal, environment
from tests.soak.far import Far

pytestmark = pytest.mark.e2e
AWAY = 3.0


def test_stopped_and_woken(tmp_path: Path) -> None:
    """Keys and a new size that came meanwhile are taken, in their order; the screen is whole."""
    with Terminal(RECORDED, environment(tmp_path), tmp_path) as terminal:
        terminal.wait_for("softmax(scaled)")
        terminal.signal(signal.SIGSTOP)
        terminal.press("3", "}", "}")
        terminal.resize(100, 30)
        time.sleep(AWAY)
        terminal.forget()
        terminal.signal(signal.SIGCONT)
        terminal.wait_for(lambda text: head_of(text) == "L0H2" and " · OV" in text)
        terminal.settle()
        assert "circuit-tui" in terminal.lines[0]
        assert len(terminal.lines) == 30
        terminal.press("q")
        terminal.ended(10)
        assert terminal.process.returncode == 0


def test_a_job_goes_on(tmp_path: Path) -> None:
    """One that computes while the program is stopped is still the one that is waited for."""
    with Terminal(RECORDED, environment(tmp_path, HOLD="TopPairs"), tmp_path) as terminal:
        terminal.wait_for("softmax(scaled)")
        terminal.press("V")
        terminal.wait_for(lambda _: (tmp_path / "holding").exists())
        terminal.signal(signal.SIGSTOP)
        time.sleep(AWAY)
        terminal.signal(signal.SIGCONT)
        terminal.press("J")
        terminal.wait_for("runs")
        terminal.send(ESCAPE)
        terminal.wait_for(lambda text: "╭─ Jobs" not in text)
        terminal.press("q")
        terminal.ended(10)


def test_a_line_that_stands_still(tmp_path: Path) -> None:
    """No cut: what is asked meanwhile comes when it goes on."""
    far = Far(tmp_path, OMP_NUM_THREADS="1")
    try:
        with Terminal(far.command, environment(tmp_path, **far.env), tmp_path) as terminal:
            terminal.wait_for(lambda text: "demo · cpu" in text and "from files" not in text and head_of(text), LOAD)
            terminal.settle(1, LOAD)
            assert far.signal(signal.SIGSTOP)
            terminal.press("}", "3")
            time.sleep(AWAY)
            assert far.signal(signal.SIGCONT)
            terminal.wait_for(lambda text: "L0H1 · OV" in text and "computing" not in text, LOAD)
            assert far.cuts == 0
            terminal.press("q")
            terminal.ended(10)
    finally:
        far.close()
