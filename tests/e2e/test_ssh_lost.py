"""The connection cut in the middle of each kind of job, and what goes over it while it is whole.

Jobs are recorded ones; the one in question computes for ever and never looks whether it is still wanted, as a long
kernel does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.scenario import head_of
from tests.e2e.ssh import Sshd, open_sshd
from tests.e2e.terminal import RECORDED, Terminal, assert_gone, environment
from tests.e2e.wire import Wire

pytestmark = pytest.mark.e2e
Record = Callable[[str, object], None]
READY = "softmax(scaled)"
"""Stands below the picture when it is there."""
SEARCH = ("/", "France>Paris, king>queen", "enter")
PAIR = ("P", "ctrl+u", "The capital of Rome is", "enter", "9")
STEPS: list[tuple[str, tuple[str, ...], Callable[[str], object]]] = [
    ("start", (), lambda text: READY in text and "→ ·in" in text),
    ("cursor", ("left",), lambda text: "·is → ·France" in text),
    ("head", ("}",), lambda text: head_of(text) == "L0H1" and READY in text),
    ("panel", ("p",), lambda text: READY not in text),
    ("view", ("2",), lambda text: "L0H1 · QK" in text),
]
"""What is done, by which keys, and what the screen then shows."""
BYTES_A_CELL = {"start": 16, "cursor": 1, "head": 3, "panel": 8, "view": 10}
"""Some two times what a screen of 80×24 takes, the handshake of ssh (some 4 kB) included in the start."""
END = 2.0
"""Seconds within which nothing may be left."""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all of them."""
    yield from open_sshd(tmp_path_factory.mktemp("ssh"))


def connect(
    sshd: Sshd, wire: Wire, home: Path, *command: str, size: tuple[int, int] = (80, 24), **env: str
) -> Terminal:
    """A command over there, through the wire."""
    whole = environment(home, **env)
    return Terminal(sshd.login(wire.port, command, whole, home, home / "pid"), whole, home, size)


def holding(terminal: Terminal, home: Path, keys: tuple[str, ...]) -> None:
    """Press keys and wait until the job that never ends has begun."""
    for key in keys:
        terminal.press(key)
        terminal.settle(0.2)
    terminal.wait_for(lambda _: (home / "holding").exists())


def seconds_of(pid: int) -> float:
    """Time that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("job", "keys"),
    [("Open", ()), ("Pattern", ()), ("PairSearch", SEARCH), ("PatchingGrid", PAIR), ("TopPairs", ("V",))],
    ids=["load", "forward", "search", "sweep", "pairs"],
)
def test_cut_in_a_job(
    sshd: Sshd, wire: Wire, tmp_path: Path, job: str, keys: tuple[str, ...], record_property: Record
) -> None:
    """No orphan, no core that spins, no memory that is kept."""
    with connect(sshd, wire, tmp_path, *RECORDED, HOLD=job) as terminal:
        terminal.wait_for(READY if keys else "Prompt ▸")
        holding(terminal, tmp_path, keys)
        pid = int((tmp_path / "pid").read_text())
        assert seconds_of(pid) > 0
        wire.cut()
        record_property("gone after s", round(assert_gone(pid, END), 2))


@pytest.mark.parametrize("job", ["", "PairSearch"], ids=["at rest", "in a search"])
def test_cut_inside_tmux(sshd: Sshd, wire: Wire, tmux: list[str], tmp_path: Path, job: str) -> None:
    """What runs goes on without the line, at rest it costs nothing, and the next one shows the same screen."""
    script = 'echo $$ > app; exec "$@"'
    command = (*tmux, "-u", "new-session", "-s", "day", "sh", "-c", script, "sh", *RECORDED)
    with connect(sshd, wire, tmp_path, *command, HOLD=job) as terminal:
        terminal.wait_for(READY)
        if job:
            holding(terminal, tmp_path, SEARCH)
            terminal.wait_for("computing …")
        terminal.settle(0.5)
        before = terminal.lines
        pid = int((tmp_path / "app").read_text())
        wire.cut()
        assert_gone(int((tmp_path / "pid").read_text()), END)
    if not job:
        spent = seconds_of(pid)
        time.sleep(1)
        assert seconds_of(pid) - spent < 0.2
    with connect(sshd, wire, tmp_path, *tmux, "-u", "attach", "-t", "day") as terminal:
        terminal.wait_for(lambda _: terminal.lines[1:-1] == before[1:-1])  # all but times
        terminal.press("q")
        terminal.ended(10)
    assert_gone(pid, END)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids="{0[0]}x{0[1]}".format)
def test_bytes(sshd: Sshd, wire: Wire, tmp_path: Path, size: tuple[int, int], record_property: Record) -> None:
    """What the encrypted connection carries: so many bytes for each cell of the screen, and at rest nothing at all."""
    costs: dict[str, int] = {}
    with connect(sshd, wire, tmp_path, *RECORDED, size=size) as terminal:
        before = 0
        for name, key, shows in STEPS:
            terminal.press(*key)
            terminal.wait_for(shows)
            terminal.settle(0.6)
            costs[name] = wire.down - before
            before = wire.down
        time.sleep(2)
        assert wire.down == before
        terminal.press("q")
        terminal.ended(10)
    record_property(f"bytes on the wire at {size[0]}×{size[1]}", costs)
    a_cell = {name: round(cost / (size[0] * size[1]), 2) for name, cost in costs.items()}
    assert {name: cost for name, cost in a_cell.items() if cost > BYTES_A_CELL[name]} == {}
