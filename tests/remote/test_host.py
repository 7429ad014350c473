"""Machines as they are named, the command that connects, and ssh's words in ours."""

from __future__ import annotations

import pytest

from tui import host
from tui.host import Host

BOX = Host("me@box.example.org", "circuit-tui serve")


@pytest.mark.parametrize(
    ("text", "machine", "model"),
    [
        ("box", "box", None),
        ("me@box.example.org", "me@box.example.org", None),
        ("box:gpt2", "box", "gpt2"),
        ("me@box:/models/run/checkpoint-500", "me@box", "/models/run/checkpoint-500"),
        ("box:org/name@main", "box", "org/name@main"),
        ("box:C:odd", "box", "C:odd"),
        ("[fe80::1%eth0]:gpt2", "fe80::1%eth0", "gpt2"),
        ("10.0.0.3:gpt2", "10.0.0.3", "gpt2"),
    ],
)
def test_names(text: str, machine: str, model: str | None) -> None:
    assert host.split(text) == (machine, model)


@pytest.mark.parametrize("text", ["", "-oProxyCommand=true", "a b", "box:", ":gpt2", "box\x1b[31m", "[box", "box:a\nb"])
def test_what_is_no_machine(text: str) -> None:
    found = host.split(text)
    assert isinstance(found, str)
    assert "box:gpt2" in found
    assert found.isprintable()


def test_the_command() -> None:
    made = BOX.arguments({}, asks=True)
    assert made[0] == "ssh"
    assert made[-3:] == ["--", "me@box.example.org", "circuit-tui serve"]
    assert "BatchMode=yes" not in made
    assert "BatchMode=yes" in BOX.arguments({}, asks=False), "nobody can answer while a screen is open"
    assert BOX.arguments({"CIRCUIT_TUI_SSH": "ssh -J 'gate way'"}, True)[:3] == ["ssh", "-J", "gate way"]


@pytest.mark.parametrize(
    ("name", "short"),
    [("box", "box"), ("me@box.example.org", "box"), ("10.0.0.3", "10.0.0.3"), ("me@fe80::1", "fe80::1")],
)
def test_the_short_name(name: str, short: str) -> None:
    assert Host(name).short == short


@pytest.mark.parametrize(
    ("code", "said", "before", "words"),
    [
        (255, "ssh: Could not resolve hostname box: Name or service not known\r\n", b"", "no machine called me@box"),
        (255, "me@box: Permission denied (publickey).\r\n", b"", "does not let you in"),
        (255, "Host key verification failed.\r\n", b"", "Connect once by `ssh me@box"),
        (255, "ssh: connect to host box port 22: Connection refused\r\n", b"", "cannot be reached"),
        (255, "client_loop: send disconnect: Broken pipe\r\n", b"", "is cut"),
        (127, "bash: line 1: circuit-tui: command not found\n", b"", "--remote-command '~/venv/bin/circuit-tui serve'"),
        (1, "/usr/bin/python3: No module named tui\n", b"", "has no `circuit-tui serve`"),
        (2, "circuit-tui: Argument MODEL: invalid choice\n", b"", "too old"),
        (1, "srun: error: Unable to allocate resources: Invalid account\n", b"", "Slurm on me@box"),
        (1, "circuit-tui: /tmp/circuit-tui-1000 is not yours alone: remove it.\n", b"", "is not yours alone"),
        (1, "\x1b[31mmotd\x1b[0m\nquota exceeded\n", b"", "quota exceeded"),
        (0, "", b"This account is currently not available.\n", "account is currently not available"),
        (0, "", b"", "The line to me@box.example.org ended."),
        (127, "", b"", "does not know the command"),
    ],
)
def test_what_ssh_says(code: int, said: str, before: bytes, words: str) -> None:
    sentence, hint = host.explain(BOX, code, said, before)
    whole = f"{sentence} {hint}"
    assert words in whole
    assert whole.isprintable()
