"""What comes from outside is drawn and never obeyed by the terminal, and nothing listens while the program runs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scenario import LOAD
from tests.e2e.terminal import APP, RECORDED, Terminal, environment
from tests.models.folders import gpt2_folder
from tests.soak.far import Far

pytestmark = pytest.mark.e2e
EVIL = "\x1b]0;owned\x07\x1b[31mowned\x9b2Jowned\x1bPowned\x1b\\\u202eowned"
"""A title, a colour, a screen that is cleared by one byte, a device's string, a text turned round."""
OBEYED = re.compile(rb"\x1b\]0;owned|\x07\x1b\[31mowned|\x1b\[31mowned|\x1bPowned|\xc2\x9b")
"""The same, had it come through."""


def tame(terminal: Terminal) -> None:
    """No text has been obeyed."""
    found = OBEYED.search(bytes(terminal.raw))
    assert found is None, bytes(terminal.raw[max(0, found.start() - 200) : found.end() + 50])


def listening(pid: int) -> list[str]:
    """The sockets of a process and its children that wait for somebody on the network."""
    nodes = set()
    for process in [pid, *children(pid)]:
        for entry in Path(f"/proc/{process}/fd").iterdir():
            try:
                nodes |= {*re.findall(r"socket:\[(\d+)\]", os.readlink(entry))}
            except OSError:
                continue
    out = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        file = Path(f"/proc/{pid}/net/{table}")
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            words = line.split()
            if words[9] in nodes and (words[3] == "0A" or not table.startswith("tcp")):
                out.append(f"{table} {words[1]}")
    return out


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from children(child)


def test_texts_of_prompts_models_and_sessions(tmp_path: Path) -> None:
    named = "".join(char for char in EVIL if char != "/")
    gpt2_folder(tmp_path / "work" / f"model {named}")
    rows = [{"prompt": f"the king {EVIL}", "answer": EVIL}, {"prompt": "the queen", "answer": " king", EVIL: EVIL}]
    prompts = tmp_path / "work" / f"prompts {named}.jsonl"
    prompts.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    session = tmp_path / "work" / f"{named}.json"
    session.write_text(json.dumps({"circuit-tui session": 1, "model": {"source": EVIL}, "selection": {EVIL: 1}}))
    config = tmp_path / "config" / "circuit-tui"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f"theme = {json.dumps(EVIL)}\n{json.dumps(EVIL)} = 1\n")
    command = [*APP, str(tmp_path / "work" / f"model {named}"), "--prompts", str(prompts)]
    with Terminal(command, environment(tmp_path, OMP_NUM_THREADS="1"), tmp_path / "work", (160, 45)) as terminal:
        terminal.wait_for(lambda text: "cpu" in text.splitlines()[0] and "owned" in text, LOAD)
        terminal.settle(1, LOAD)
        tame(terminal)
        assert listening(terminal.process.pid) == []
        pasted = f"\x1b[200~{EVIL}\x1b[201~\r"
        for keys in (f"i{pasted}", f"A{pasted}", f":open {session.name[-9:]}", "M"):
            terminal.send(keys)
            terminal.settle(0.5, LOAD)
            tame(terminal)
            terminal.press("escape")
        for asked in (f"open {session}", f"save {EVIL}", f"model {EVIL}", f"prompts {EVIL}"):
            terminal.press("escape", ":")
            terminal.settle()
            terminal.send(f"\x1b[200~{asked}\x1b[201~")
            terminal.settle()
            terminal.press("enter")
            terminal.settle(0.5, LOAD)
            tame(terminal)
        terminal.press("escape", "escape", "q")
        terminal.ended(10)
        tame(terminal)


@pytest.mark.parametrize("said", [f"{EVIL}\n", f"ssh: connect to host {EVIL}: Connection refused\n"])
def test_what_ssh_says(tmp_path: Path, said: str) -> None:
    ssh = tmp_path / "ssh"
    writes = "".join(f"sys.{where}.write({said!r})\n" for where in ("stderr", "stdout"))
    ssh.write_text(f"#!{sys.executable}\nimport sys\n{writes}sys.exit(255)\n")
    ssh.chmod(0o755)
    command = [*APP, "--remote", "box"]
    with Terminal(command, environment(tmp_path, CIRCUIT_TUI_SSH=str(ssh)), tmp_path, (200, 20)) as terminal:
        terminal.ended(20)
        assert terminal.process.returncode == 1
        tame(terminal)
        assert b"circuit-tui: " in terminal.raw


def test_a_model_that_is_not_there_on_the_command_line(tmp_path: Path) -> None:
    with Terminal([*RECORDED, "--theme", EVIL], environment(tmp_path), tmp_path) as terminal:
        terminal.wait_for("there is no theme")
        tame(terminal)


def test_nothing_listens_over_a_line(tmp_path: Path) -> None:
    far = Far(tmp_path, OMP_NUM_THREADS="1")
    try:
        env = environment(tmp_path, **far.env)
        with Terminal(far.command, env, tmp_path) as terminal:
            terminal.wait_for("demo · cpu", LOAD)
            (keeper,) = far.keepers()
            assert listening(terminal.process.pid) == []
            assert listening(keeper) == []
            terminal.press("q")
            terminal.ended(10)
    finally:
        far.close()
