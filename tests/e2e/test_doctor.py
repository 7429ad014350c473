"""``circuit-tui doctor`` on real terminals: one that answers, and tmux."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.terminal import APP, Terminal, environment
from tui.findings import on_terminal

pytestmark = pytest.mark.e2e


def test_it_asks_a_real_terminal_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    """A terminal that answers like a modern one: its answers do not reach the shell."""
    with Terminal([*APP, "doctor"], environment(tmp_path), tmp_path, (80, 60)) as terminal:
        terminal.wait_for(lambda _: b"\x1b[c" in terminal.raw)
        terminal.send("\x1bP1$r0;48:2:1:2:3m\x1b\\\x1bP>|testterm 1.2\x1b\\\x1b[?62;22;52c")
        text = terminal.wait_for("nothing wrong", 90)
        terminal.ended(10)
        assert "testterm 1.2" in text
        assert "keeps 24-bit colours" in text
        assert "OSC 52: the terminal takes it" in text
        assert "80×60" in text
        assert "circuit-tui --color truecolor" in text, "TERM promises less"
        rows = [line.rstrip() for line in text.splitlines() if line.strip()]
        long = [line for line in rows if not line.startswith("  ") and " " in line]
        assert [line.split()[0] for line in long] == ["circuit-tui", "nothing"], "long values go on below themselves"


def test_inside_tmux(tmux: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*command: str) -> str:
        done = subprocess.run([*tmux, *command], check=True, env=environment(tmp_path), capture_output=True, text=True)
        return done.stdout.strip()

    run("new-session", "-d", "sleep 60")
    monkeypatch.setenv("TMUX", run("display", "-p", "#{socket_path},0,0"))
    for own, passes, state in (("off", "off", "note"), ("on", "off", "ok"), ("off", "on", "ok")):
        run("set", "-g", "set-clipboard", own, ";", "set", "-g", "allow-passthrough", passes)
        found = next(found for found in on_terminal(os.environ, None) if found.name == "clipboard")
        assert found.state == state, found
        assert f"set-clipboard {own}, allow-passthrough {passes}" in found.value
