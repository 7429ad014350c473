"""The engine behind ssh on this machine: what the line adds to a typed character, and what it carries."""

from __future__ import annotations

import getpass
import shlex
import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Row, ms, size
from tests.benchmarks.prompt import PROMPT, ROUNDS, typing
from tests.benchmarks.screen import Child
from tests.e2e.ssh import Sshd
from tests.e2e.terminal import environment
from tests.e2e.wire import Wire

EXTRA = 30.0
"""Milliseconds that the line may add."""
PINGED = 10.0
"""Seconds for which nothing is done."""


def main() -> list[Row]:
    """In turns: the engine in the app, and the engine over there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sshd = Sshd(folder)
        wire = Wire(sshd.port)
        try:
            return rows(sshd, wire, folder)
        finally:
            wire.close()
            sshd.close()


def rows(sshd: Sshd, wire: Wire, folder: Path) -> list[Row]:
    there = environment(folder, CIRCUIT_TUI_RUNTIME=str(folder / "run"))
    variables = (f"{name}={value}" for name, value in there.items())
    serve = shlex.join(["env", *variables, sys.executable, "-m", "tui", "serve"])
    remote = ("--remote", f"{getpass.getuser()}@127.0.0.1", "--remote-command", serve)
    with Child("app", "--prompt", PROMPT) as child:
        child.open()
        near = 1000 * statistics.median(took for _, took in typing(child, ROUNDS))
    with Child("app", "--prompt", PROMPT, *remote, CIRCUIT_TUI_SSH=shlex.join(sshd.ssh(wire.port))) as child:
        child.open()
        opened = wire.up + wire.down
        far = 1000 * statistics.median(took for _, took in typing(child, ROUNDS))
        typed = (wire.up + wire.down - opened) / (ROUNDS + len(PROMPT))
        child.press("escape")
        child.settle(2)
        rested = wire.up + wire.down
        child.settle(PINGED, PINGED + 30)
        rested = wire.up + wire.down - rested
        child.press("q")
        child.ended(10)
    return [
        Row("the same with --remote over ssh on this machine", ms(far), f"engine in the app {ms(near)}", None,
            f"≤ the other + {EXTRA:.0f} ms", far <= near + EXTRA),
        Row("bytes over ssh: a typed character, and at rest a second", size(round(typed)),
            f"at rest {size(round(rested / PINGED))}; to open the model {size(opened)}", None, "", True),
    ]  # fmt: skip
