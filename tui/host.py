"""Which machine the engine is on, how it is reached, and what ssh says of it in words.

``ssh`` is the one of this machine, with its keys, its agent and ~/.ssh/config; ``$CIRCUIT_TUI_SSH`` names another
command line for it (``ssh -J gateway -p 2222``). It asks on the terminal before the first screen, and never after.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

COMMAND = "circuit-tui serve"
SSH = "CIRCUIT_TUI_SSH"
LINGER = 10.0
"""Minutes."""
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]]+)(:(?P<model>.+))?", re.DOTALL)
_QUIET = (
    *("-T", "-C", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
    *("-o", "EscapeChar=none", "-o", "ClearAllForwardings=yes"),
)
"""Bytes pass unchanged and compressed; a line that is dead is known to be in 15 s."""


@dataclass(frozen=True)
class Host:
    """A machine, and what is started there."""

    name: str
    """As ssh has it: ``box``, ``me@box``."""
    command: str = COMMAND
    """What its login shell is given, with ``serve`` in it."""
    linger: float = LINGER
    """Minutes for which model and cache are kept there while the line is cut."""

    @property
    def short(self) -> str:
        """The machine without user and domain."""
        host = self.name.rpartition("@")[2]
        return host if re.fullmatch(r"[0-9.]+|.*:.*", host) else host.partition(".")[0]

    def arguments(self, environ: Mapping[str, str], asks: bool) -> list[str]:
        """The command that connects. ``asks``: there is a terminal on which ssh may ask for a password."""
        ssh = shlex.split(environ.get(SSH, "")) or ["ssh"]
        return [*ssh, *_QUIET, *(() if asks else ("-o", "BatchMode=yes")), "--", self.name, self.command]


def split(text: str) -> tuple[str, str | None] | str:
    """``me@box:gpt2`` → the machine and the model there, None where none is named; or what is wrong, as a sentence."""
    found = _HOST.fullmatch(text.strip())
    if found is None or found["host"].startswith("-") or not text.isprintable():
        return f"--remote takes a machine as ssh has it, and a model there: box, me@box, box:gpt2. It is {text!r}."
    return found["host"].strip("[]"), found["model"]


def parts(text: str) -> tuple[str, str | None]:
    """The same of a text that was checked."""
    found = split(text)
    assert not isinstance(found, str)
    return found


def explain(host: Host, code: int | None, said: str, before: bytes = b"") -> tuple[str, str]:
    """Why there is no line, and what to do. ``code``: the exit code of ssh; ``said``: what it wrote on standard error;
    ``before``: what came instead of the first frame."""
    name = host.name
    lines = [line for line in map(_printable, said.splitlines()) if line]
    last = lines[-1] if lines else ""
    for pattern, sentence, hint in _WORDS:
        if pattern.search(said):
            return sentence.format(name=name, command=host.command), hint.format(name=name, command=host.command)
    own = next((line for line in reversed(lines) if line.startswith("circuit-tui: ")), "")
    if own:
        return f"{name}: {own.removeprefix('circuit-tui: ')}", ""
    if code in (126, 127):
        return (f"{name} does not know the command `{host.command}`{f' ({last[:120]})' if last else ''}.", _INSTALL)
    if last:
        return f"{name}: {last[:200]}.", f"Try `ssh {name} {host.command}` by hand."
    if printed := _printable(before.decode("utf-8", "replace").strip()[-200:]):
        return (f"{name} answers, but not as circuit-tui does: {printed!r}.",
                f"`{host.command}` must start circuit-tui there: --remote-command says how.")  # fmt: skip
    return f"The line to {name} ended{f' (ssh: exit code {code})' if code else ''}.", ""


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else " " for char in line).strip()


_INSTALL = (
    "Install the same version there (pip install circuit-tui), or say where it is: "
    "--remote-command '~/venv/bin/circuit-tui serve'."
)
_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence, hint)
    for pattern, sentence, hint in (
        ("could not resolve hostname|name or service not known|nodename nor servname",
         "There is no machine called {name}.", "See that `ssh {name}` works, or give it a name in ~/.ssh/config."),
        ("host key verification failed|remote host identification has changed",
         "The key of {name} is not the one that is known, or not known yet.",
         "Connect once by `ssh {name}` and read what it says of the key."),
        ("permission denied|too many authentication failures",
         "{name} does not let you in.",
         "See that `ssh {name}` works; while a screen is open ssh cannot ask for a password: use a key and ssh-agent."),
        ("connection refused|no route to host|network is unreachable|connection timed out|operation timed out",
         "{name} cannot be reached.", "See that it is on and that `ssh {name}` works from here."),
        ("broken pipe|connection reset|closed by remote host|not responding|connection closed",
         "The line to {name} is cut.", ""),
        (r"command not found|: not found|no such file or directory|No module named|Unable to locate",
         "{name} has no `{command}`.", _INSTALL),
        ("invalid choice|unrecognized arguments", "circuit-tui on {name} is too old to serve.", _INSTALL),
        ("srun: error|salloc: error|slurmstepd: error", "Slurm on {name} did not start `{command}`.",
         "Try it by hand: `ssh {name} {command}`."),
    )
)  # fmt: skip
