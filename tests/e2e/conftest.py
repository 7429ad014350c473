"""What the end-to-end tests share: the programs they need, and the places they run in."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.ssh import SSHD, Sshd
from tests.e2e.wire import Wire


def need(program: str, found: object) -> None:
    """Skip, visibly, without a program; fail where continuous integration has promised it."""
    if found:
        return
    if os.environ.get("CIRCUIT_TUI_REQUIRE_E2E") == "1":
        pytest.fail(f"{program} is missing, and CIRCUIT_TUI_REQUIRE_E2E=1 forbids to skip this", pytrace=False)
    pytest.skip(f"{program} is not installed")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A server for this test."""
    need("sshd", SSHD)
    need("ssh", shutil.which("ssh"))
    folder = tmp_path / "ssh"
    folder.mkdir()
    server = Sshd(folder)
    yield server
    server.close()


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
