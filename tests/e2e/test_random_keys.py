"""Hundreds of random keys to the real program (thousands in the soak): it stays alive, says nothing of errors, and
still answers a key.

The inputs come from a seed, ``CIRCUIT_TUI_SEED``; ``CIRCUIT_TUI_INPUTS`` is how many there are. Which of them are taken
by which dialog depends on the machine's speed, so a failure shows its last inputs too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.player import Player, Run
from tests.e2e.scenario import LOAD, edit_prompt, title_of

pytestmark = pytest.mark.e2e
SEED = int(os.environ.get("CIRCUIT_TUI_SEED", "8"))
INPUTS = int(os.environ.get("CIRCUIT_TUI_INPUTS", "300"))


@pytest.mark.timeout(400)
def test_random_inputs(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    begun = time.monotonic()
    player, run = Player(SEED), Run(tmp_path, SEED)
    try:
        for _ in range(INPUTS):
            run.send(player.draw())
        terminal = run.terminal
        try:
            run.free()
            terminal.press("M")
            terminal.wait_for("a hub name such as")
            terminal.press("end", "ctrl+u")
            terminal.send("demo\r")
            terminal.wait_for(lambda text: "╭─ Models" not in text, LOAD)
            edit_prompt(terminal)
            terminal.send("The capital of France is")
            terminal.press("enter")
            # The keys before may have chosen any mode, and the direct path, which is named QK's page too.
            terminal.press("2")
            terminal.wait_for(lambda text: " · QK" in title_of(text), LOAD)
            terminal.press("1")
            terminal.wait_for(lambda text: title_of(text) and " · QK" not in title_of(text), LOAD)
        except AssertionError as problem:
            raise AssertionError(run.report(f"it does not answer: {problem}")) from None
        run.check()
        terminal.press("q")
        terminal.ended(20)
        assert terminal.process.returncode == 0
        terminal.assert_restored()
    finally:
        run.terminal.close()
    record_property("s", round(time.monotonic() - begun, 1))
    record_property("starts", run.starts)
