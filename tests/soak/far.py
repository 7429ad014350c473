"""A machine that is this one, with a home of its own: ``sh`` in the place of ssh, and its lines, which can be cut."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

from tests.e2e.terminal import APP, environment

_SSH = """#!/bin/sh
echo $$ >> {lines}
for word; do :; done
exec sh -c "$word"
"""


class Far:
    """What stands behind ``--remote box``."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.home = Path(os.path.realpath(folder)) / "there"
        self.home.mkdir()
        self._lines = self.home / "lines"
        ssh = self.home / "ssh"
        ssh.write_text(_SSH.format(lines=shlex.quote(str(self._lines))))
        ssh.chmod(0o755)
        over = environment(self.home, CIRCUIT_TUI_RUNTIME=str(self.home / "run"), **env)
        serve = shlex.join(["exec", "env", *(f"{name}={value}" for name, value in over.items()), *APP, "serve"])
        self.command = (*APP, "--remote", "box", "--remote-command", serve)
        self.env = {"CIRCUIT_TUI_SSH": str(ssh)}
        self.cuts = 0

    def signal(self, number: signal.Signals) -> int:
        """Send a signal to every line that there is; how many got it."""
        sent = 0
        for pid in map(int, self._lines.read_text().split() if self._lines.exists() else ()):
            with contextlib.suppress(OSError):
                if os.fsencode(self.home) in Path(f"/proc/{pid}/environ").read_bytes():  # else the number is another's
                    os.kill(pid, number)
                    sent += 1
        return sent

    def cut(self) -> None:
        """Every line that there is."""
        self.cuts += bool(self.signal(signal.SIGKILL))

    def keepers(self) -> list[int]:
        """What keeps the model."""
        return _running(lambda words: b"tui.remote.keeper" in words and any(map(self._is_ours, words)))

    def _is_ours(self, word: bytes) -> bool:
        return word.startswith(os.fsencode(self.home))

    def close(self) -> None:
        for pid in self.keepers():
            os.kill(pid, signal.SIGKILL)


def _running(wanted: Callable[[list[bytes]], bool]) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted((folder / "cmdline").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found
