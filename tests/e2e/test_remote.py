"""The screen here and the engine behind a real sshd: the same numbers, a cut line, and nothing that stays behind."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.scenario import CONVENTIONS, LOAD, head_of
from tests.e2e.ssh import Sshd
from tests.e2e.terminal import APP, Terminal, assert_gone, environment
from tests.e2e.wire import Wire

pytestmark = pytest.mark.e2e
Record = Callable[[str, object], None]
ME = f"{getpass.getuser()}@127.0.0.1"


class Box:
    """A machine behind sshd, with a home of its own."""

    def __init__(self, sshd: Sshd, wire: Wire, folder: Path) -> None:
        self.here, self.there = folder / "here", folder / "there"
        self.here.mkdir()
        self.there.mkdir()
        over = environment(self.there, CIRCUIT_TUI_RUNTIME=str(self.there / "run"), OMP_NUM_THREADS="1")
        self.command = shlex.join(["env", *(f"{name}={value}" for name, value in over.items()), *APP, "serve"])
        self.env = environment(self.here, CIRCUIT_TUI_SSH=shlex.join(sshd.ssh(wire.port)))

    def keeper(self) -> int:
        """The process that keeps the model there."""
        (pid,) = self.keepers()
        return pid

    def keepers(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"tui.remote.keeper" in words and any(word.startswith(os.fsencode(self.there)) for word in words):
                found.append(int(folder.name))
        return found

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        """A command here."""
        return subprocess.run([*APP, *arguments], env=self.env | env, cwd=self.here, capture_output=True, timeout=200)


@pytest.fixture
def box(sshd: Sshd, wire: Wire, tmp_path: Path) -> Iterator[Box]:
    made = Box(sshd, wire, tmp_path)
    yield made
    for pid in made.keepers():
        os.kill(pid, 9)


def test_a_session_with_a_cut(box: Box, wire: Wire, record_property: Record) -> None:
    arguments = [*APP, "--remote", f"{ME}:demo", "--remote-command", box.command]
    with Terminal(arguments, box.env, box.here) as terminal:
        terminal.wait_for(CONVENTIONS, LOAD)
        terminal.wait_for(lambda text: head_of(text) and "127.0.0.1 " in text and " ms" in text, LOAD)
        terminal.settle()
        pid, before = box.keeper(), wire.down
        terminal.press("}")
        terminal.wait_for(lambda text: head_of(text) == "L0H1" and "OV ·is" in text)
        terminal.settle()
        record_property("bytes on the line for a head", wire.down - before)
        shown = terminal.text
        wire.cut()
        terminal.wait_for("line cut")
        assert head_of(terminal.text) == "L0H1"
        terminal.wait_for(lambda text: "line cut" not in text, 30)
        assert picture(terminal.text) == picture(shown), "the same again"
        assert box.keeper() == pid
        terminal.press("}")
        terminal.wait_for(lambda text: head_of(text) == "L0H2")
        terminal.press("q")
        terminal.ended(5)
        assert terminal.process.returncode == 0
        terminal.assert_restored()
        record_property("keeper gone after s", assert_gone(pid, 5))


def picture(text: str) -> list[str]:
    """The lines between the status line and the key line."""
    return text.splitlines()[1:-1]


def test_export(box: Box) -> None:
    request = ["export", "qk", "--head", "L0H0", "--tokens", "France, Paris", "--format", "json"]
    far = box.run(*request, "--remote", ME, "--remote-command", box.command)
    assert far.returncode == 0, far.stderr
    assert far.stdout == box.run(*request).stdout
    assert box.keepers() == []


def test_what_ssh_says_is_said_in_words(box: Box, sshd: Sshd, wire: Wire) -> None:
    request = ["export", "tokens", "--prompt", "France", "--remote", ME]
    stranger = shlex.join(sshd.ssh(wire.port, key="host"))
    for extra, command, words in (
        ({"CIRCUIT_TUI_SSH": stranger}, box.command, b"does not let you in"),
        ({}, "circuit-tui-of-nowhere serve", b"Install the same version there"),
        ({"CIRCUIT_TUI_SSH": shlex.join(sshd.ssh(1))}, box.command, b"cannot be reached"),
    ):
        made = box.run(*request, "--remote-command", command, **extra)
        assert made.returncode == 1
        assert words in made.stderr, made.stderr
        assert made.stdout == b""
        assert made.stderr.count(b"circuit-tui: ") == 1


def test_a_machine_that_cannot_be(box: Box) -> None:
    made = box.run("export", "tokens", "--prompt", "France", "--remote=-oProxyCommand=true")
    assert made.returncode == 2
    assert b"--remote takes a machine as ssh has it" in made.stderr
