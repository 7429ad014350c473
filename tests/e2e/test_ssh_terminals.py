"""Any terminal at the other end of a real sshd: what TERM and COLORTERM promise is drawn, and the shell gets it back.

The app runs on recorded results: what is in question is the way to the terminal. OpenSSH passes TERM on, not COLORTERM.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scenario import head_of
from tests.e2e.ssh import Sshd, open_sshd
from tests.e2e.terminal import RECORDED, Terminal, environment

pytestmark = pytest.mark.e2e
SIGNS = {*bytes(range(0x80, 0x100)).decode("cp437")} | {*"►◄▲▼←↑→↓↔↕•◘○◙‼¶§▬"}
"""What the font of every Linux console has, beside ASCII."""
DEPTHS = {
    "truecolor": rb"[34]8;2;",
    "256": rb"[34]8;5;",
    "16": rb"\x1b\[(?:[0-9;]*;)?(?:3|4|9|10)[1-6]m",
}
"""What a sequence that sets a colour has in it, deeper ones first; black, greys and white are none."""
CASES = [
    ("xterm-256color", {}, "256"),
    ("tmux-256color", {}, "256"),
    ("screen-256color", {}, "256"),
    ("xterm", {}, "256"),
    ("alacritty", {}, "truecolor"),
    ("xterm-ghostty", {}, "truecolor"),
    ("linux", {}, "16"),
    ("xterm-256color", {"COLORTERM": "truecolor"}, "truecolor"),
    ("screen-256color", {"COLORTERM": "24bit"}, "truecolor"),
    ("xterm-256color", {"NO_COLOR": "1"}, "none"),
    ("linux", {"NO_COLOR": "1", "COLORTERM": "truecolor"}, "none"),
    ("a-terminal-of-tomorrow", {}, "16"),
]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all of them."""
    yield from open_sshd(tmp_path_factory.mktemp("ssh"))


def session(sshd: Sshd, home: Path, *command: str, **env: str) -> Terminal:
    """A command over there, under this TERM."""
    whole = environment(home, **env)
    return Terminal(sshd.login(sshd.port, command, whole, home, home / "pid"), whole, home, (80, 24))


def use(terminal: Terminal) -> str:
    """Open, look, press a key, leave. The screen when the picture was there."""
    terminal.wait_for("demo · cpu · float32")
    seen = terminal.wait_for(lambda text: "L0H0 · pattern" in text and "0.594" in text)
    terminal.press("}")
    terminal.wait_for(lambda text: head_of(text) == "L0H1")
    terminal.press("q")
    terminal.ended(10)
    assert terminal.process.returncode == 0
    assert b"Traceback" not in terminal.raw
    return seen


def depth(raw: bytes) -> str:
    """The deepest colours that were sent."""
    return next((name for name, sequence in DEPTHS.items() if re.search(sequence, raw)), "none")


@pytest.mark.parametrize(("term", "env", "drawn"), CASES)
def test_terminal(sshd: Sshd, tmp_path: Path, term: str, env: dict[str, str], drawn: str) -> None:
    with session(sshd, tmp_path, *RECORDED, TERM=term, **env) as terminal:
        seen = use(terminal)
        assert depth(bytes(terminal.raw)) == drawn
        if drawn in ("none", "16"):
            assert "████" in seen, "without colours that say how much, shades do"
        if term == "linux":
            beyond = {*terminal.raw.decode()} - SIGNS
            assert {char for char in beyond if not char.isascii()} == set()
            assert "Prompt ►" in seen
            assert "<bos>" in seen
        terminal.assert_restored()


@pytest.mark.parametrize(("term", "env"), [("xterm-256color", {}), ("screen-256color", {"COLORTERM": "truecolor"})])
def test_terminal_with_tmux(sshd: Sshd, tmux: list[str], tmp_path: Path, term: str, env: dict[str, str]) -> None:
    command = [*tmux, "-u", "new-session", *RECORDED]
    with session(sshd, tmp_path, *command, TERM=term, **env) as terminal:
        seen = use(terminal)
        assert "⟨bos⟩" in seen
        assert depth(bytes(terminal.raw)) == "256", "what tmux makes of it for a terminal that promises so much"
        terminal.assert_restored()
