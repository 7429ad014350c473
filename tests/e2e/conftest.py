"""What the end-to-end tests share: the programs they need, and the places they run in."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.ssh import Sshd, need, open_sshd
from tests.e2e.wire import Wire


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A server for this test."""
    folder = tmp_path / "ssh"
    folder.mkdir()
    yield from open_sshd(folder)


@pytest.fixture
def wire(sshd: Sshd) -> Iterator[Wire]:
    """The network to that server."""
    out = Wire(sshd.port)
    yield out
    out.close()


@pytest.fixture
def tmux() -> Iterator[list[str]]:
    """``tmux`` with a server of its own, which ends with the test."""
    need("tmux", shutil.which("tmux"))
    command = ["tmux", "-L", f"circuit-tui-{uuid.uuid4().hex[:8]}", "-f", "/dev/null"]
    yield command
    subprocess.run([*command, "kill-server"], capture_output=True, check=False)
