"""A disk that is full while the program runs: each file that it writes is named with what to do, and nothing else is
lost. The disk is a small one in memory where this user may mount one; else the system refuses the program every byte
that it writes to a file."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.scenario import head_of, title_of
from tests.e2e.terminal import RECORDED, Terminal, environment

pytestmark = pytest.mark.e2e
READY = "softmax(scaled)"
ROOM = ("No space left on device", "File too large")


class Disk:
    """Where the program's own folder and the one that it is started in are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
        self.is_own = made.returncode == 0
        self.process: int | None = None
        self._filling = folder / "filling"

    def fill(self) -> None:
        """To the last byte."""
        if not self.is_own:
            assert self.process is not None
            resource.prlimit(self.process, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return
        with contextlib.suppress(OSError), self._filling.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def make_room(self) -> None:
        if self.is_own:
            self._filling.unlink()
        elif self.process is not None:
            resource.prlimit(self.process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self) -> None:
        if self.is_own:
            subprocess.run(["umount", "--lazy", self.folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = Disk(folder)
    yield made
    made.close()


def said(*words: str) -> Callable[[str], bool]:
    """Whether the notice names the file and the reason; it may be broken into lines."""

    def there(text: str) -> bool:
        flat = " ".join(line.strip(" │") for line in text.splitlines())
        return any(why in flat for why in ROOM) and all(word in flat for word in words)

    return there


def test_each_file_is_named_and_the_program_goes_on(disk: Disk) -> None:
    home = disk.folder
    with Terminal(RECORDED, environment(home), home, (160, 40)) as terminal:
        terminal.wait_for(READY)
        disk.process = terminal.process.pid
        terminal.press("i", "end")
        terminal.send(" France")
        terminal.press("enter")
        terminal.settle(1.5)
        (kept,) = (home / "state" / "circuit-tui" / "sessions").glob("*.json")
        before = kept.read_bytes()
        disk.fill()
        terminal.press("3")
        terminal.wait_for(said("The session cannot be kept in", "make room"))
        assert kept.read_bytes() == before, "whole or not at all"
        for what, keys, words in (
            ("a session by its name", ":save mine\r", ("The session cannot be saved in", "make room")),
            ("numbers", "ej", ("circuit-tui-ov-L0H0.json could not be written", "with room")),
            ("a figure", "es", ("circuit-tui-ov-L0H0.svg could not be written", "with room")),
            ("a copy", "yg", ("copied/", "could not be written")),
            ("a circuit", "c", ("The circuit cannot be kept in", "make room")),
            ("a note", "Cb", ("The note cannot be kept in", "make room")),
        ):
            for key in keys.partition("\r")[0] if what != "a session by its name" else [keys[:-1]]:
                terminal.send(key)
                terminal.settle(0.4)
            if keys.endswith("\r"):
                terminal.press("enter")
            terminal.wait_for(said(*words))  # of a note on the card itself, which hides the line of notices
            if what == "a note":
                terminal.press("escape")
                terminal.wait_for(said(*words))
        terminal.send(":log")
        terminal.settle()
        terminal.press("enter")
        terminal.wait_for("esc closes")
        terminal.press("w")
        terminal.wait_for(said("circuit-tui-log", "start in a folder"))
        terminal.press("escape", "}")
        terminal.wait_for(lambda text: head_of(text) == "L0H1")
        disk.make_room()
        terminal.press("}")
        terminal.wait_for(lambda text: head_of(text) == "L0H2")
        terminal.settle(1.5)
        assert json.loads(kept.read_text())["selection"]["head"] == 2, "kept again"
        terminal.press("q")
        terminal.ended(10)
        assert terminal.process.returncode == 0
        terminal.assert_restored()
    assert not [*home.rglob("*.part"), *home.rglob(".*json*")], "nothing half-written"
    assert "France" in (home / "state" / "circuit-tui" / "prompts.jsonl").read_text()


def test_what_cannot_be_kept_at_the_end_is_said_below_the_screen(disk: Disk) -> None:
    home = disk.folder
    with Terminal(RECORDED, environment(home), home) as terminal:
        terminal.wait_for(READY)
        disk.process = terminal.process.pid
        disk.fill()
        terminal.press("i", "end")
        terminal.send(" France")
        terminal.press("enter", "3")
        terminal.wait_for(lambda text: " · OV" in title_of(text))
        terminal.wait_for(": commands")
        terminal.press("q")
        terminal.ended(10)
        assert terminal.process.returncode == 0
        terminal.assert_restored()
        after = bytes(terminal.raw[terminal.raw.rfind(b"\x1b[?1049l") :]).decode()
    assert "The prompts typed cannot be kept in" in after
    assert "The session cannot be kept in" in after
    assert after.count("make room there") == 2
