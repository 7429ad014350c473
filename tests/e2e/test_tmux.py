"""The same session inside tmux, seen through an attached client; bytes are those that the client's terminal gets."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.scenario import Session
from tests.e2e.terminal import APP, Terminal, assert_gone, environment

pytestmark = pytest.mark.e2e


def test_session(tmux: list[str], tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    env = environment(tmp_path)
    command = shlex.join([*APP]) + f"; echo $? > {shlex.quote(str(tmp_path / 'code'))}"
    with Terminal([*tmux, "-u", "new-session", "-x", "120", "-y", "40", command], env, tmp_path, (120, 41)) as terminal:
        session = Session(terminal, tmp_path)
        session.open()
        session.type_prompt()
        session.walk_heads()
        session.walk_cells()
        session.walk_views()
        session.resize(80, 25)
        session.walk_heads(2)
        session.resize(120, 41)
        session.export()
        session.copy()
        session.quit()
    assert (tmp_path / "code").read_text().strip() == "0"
    record_property("bytes", session.costs)


def test_tmux_hands_a_copy_on(tmux: list[str], tmp_path: Path) -> None:
    """With ``allow-passthrough`` the terminal outside of tmux gets the sequence that the app has wrapped."""
    config = tmp_path / "tmux.conf"
    config.write_text("set -g allow-passthrough on\nset -g set-clipboard off\n")
    server = [*tmux[:-2], "-f", str(config)]
    command = [*server, "-u", "new-session", "-x", "120", "-y", "40", shlex.join(APP)]
    with Terminal(command, environment(tmp_path), tmp_path, (120, 41)) as terminal:
        session = Session(terminal, tmp_path)
        session.open()
        found = re.search(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\a", session.copy())
        assert found is not None
        assert base64.b64decode(found[1]) == b"The capital of France is"
        session.quit()


def test_session_killed(tmux: list[str], tmp_path: Path) -> None:
    """``kill-session`` closes the terminal while the model loads: nothing stays."""
    script = f"echo $$ > {shlex.quote(str(tmp_path / 'pid'))}; exec {shlex.join(APP)}"
    with Terminal([*tmux, "-u", "new-session", script], environment(tmp_path), tmp_path) as terminal:
        terminal.wait_for("Prompt ▸")
        pid = int((tmp_path / "pid").read_text())
        subprocess.run([*tmux, "kill-session"], check=True)
        terminal.ended(5)
    assert_gone(pid)
