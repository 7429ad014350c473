"""A session on a real terminal: kept however the app ends, gone on with at the next start, exported without one."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.scenario import CONVENTIONS, LOAD
from tests.e2e.terminal import APP, Terminal, environment

pytestmark = pytest.mark.e2e
END = 3.0
"""Seconds to end in on a busy machine."""


def kept(home: Path) -> dict[str, Any]:
    """The session that saved itself."""
    [path] = (home / "state/circuit-tui/sessions").glob("*.json")
    made: dict[str, Any] = json.loads(path.read_text())
    chosen: dict[str, Any] = made["selection"]
    return chosen


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """The same view: all words and tokens, and the numbers but for the order in which threads add them up."""
    words = [{name: value for name, value in made.items() if name not in ("values", "checks")} for made in (one, other)]
    return words[0] == words[1] and np.allclose(one["values"], other["values"], atol=1e-4)


def exported(home: Path, *arguments: str) -> dict[str, Any]:
    command = [*APP, "export", *arguments, "--format", "json"]
    done = subprocess.run(command, env=environment(home), cwd=home, timeout=120, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_a_session_outlives_a_signal_and_a_lost_terminal_and_gives_the_same_numbers(tmp_path: Path) -> None:
    with Terminal(APP, environment(tmp_path), tmp_path) as terminal:
        terminal.wait_for(CONVENTIONS, LOAD)
        terminal.press("i", "\x15", *"The capital of Germany is", "enter")
        terminal.wait_for("│·Germany")
        terminal.press("3", "}", "}", "a", "n")
        terminal.wait_for("L0H2 · OV · centered")
        terminal.settle()
        terminal.press("e", "enter")
        terminal.wait_for("written:")
        terminal.press(":", *"log", "enter")
        terminal.wait_for("esc closes")
        terminal.press("w")
        terminal.wait_for("circuit-tui-log.txt")
        terminal.press("escape", "]")
        terminal.wait_for("L1H2 · OV")
        terminal.signal(signal.SIGHUP)
        terminal.ended(END)
    assert (kept(tmp_path)["text"], kept(tmp_path)["layer"]) == ("The capital of Germany is", 1), "the last key too"

    shown = json.loads(next(tmp_path.glob("circuit-tui-ov*.json")).read_text())
    assert same(exported(tmp_path, "--replay", "circuit-tui-log.txt"), shown)

    with Terminal(APP, environment(tmp_path), tmp_path) as terminal:
        terminal.wait_for("L1H2 · OV", LOAD)
        terminal.wait_for("back where you were")
        terminal.press("[")
        terminal.wait_for("L0H2 · OV")
        terminal.hang_up()
        terminal.ended(END)
    assert kept(tmp_path).get("layer", 0) == 0
    [session] = (tmp_path / "state/circuit-tui/sessions").glob("*.json")
    assert same(exported(tmp_path, "--session", str(session)), shown)
