"""What the terminal says of itself when it is asked: its name, whether it keeps 24-bit colours and takes OSC 52.

Nothing of a clipboard is read. A terminal that does not answer is one of which nothing is known.
"""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Mapping
from dataclasses import dataclass

SECONDS = 1.0
"""How long an answer may take: a slow line, and a terminal that knows none of the questions."""
_QUESTIONS = (
    b"\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m"  # a 24-bit ground, and what has become of it (DECRQSS)
    b"\x1b[>0q"  # name and version (XTVERSION)
    b"\x1b[c"  # what it can (DA1): all answer this, so it comes last
    b"\r\x1b[K"  # what a terminal may have printed of it
)
_GROUND = re.compile(rb"\x1bP1\$r([0-9:;]*)m\x1b\\")
_NAME = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_CAN = re.compile(rb"\x1b\[\?([0-9;]*)c")
_OSC_52 = b"52"
"""Of DA1: the clipboard can be written."""


@dataclass(frozen=True)
class Answer:
    """What a terminal said. None: nothing about that."""

    name: str | None = None
    truecolor: bool | None = None
    clipboard: bool | None = None


def ask(environ: Mapping[str, str], seconds: float = SECONDS) -> Answer | None:
    """Ask the terminal of this process; None where there is none, or one that might print the questions."""
    term = environ.get("TERM", "")
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or term.startswith(("linux", "vt", "dumb")) or not term:
        return None
    screen, keys = sys.stdout.fileno(), sys.stdin.fileno()
    sys.stdout.flush()
    before = termios.tcgetattr(keys)
    try:
        tty.setcbreak(keys, termios.TCSANOW)
        os.write(screen, _QUESTIONS)
        return read(_collected(keys, seconds))
    except OSError:
        return None
    finally:
        termios.tcsetattr(keys, termios.TCSAFLUSH, before)


def read(said: bytes) -> Answer:
    """What an answer means."""
    name, ground, can = _NAME.search(said), _GROUND.search(said), _CAN.search(said)
    return Answer(
        name[1].decode("utf-8", "replace") if name else None,
        bool(re.search(rb"48[:;]2[:;]", ground[1])) if ground else None,
        True if can and _OSC_52 in can[1].split(b";") else None,
    )


def _collected(keys: int, seconds: float) -> bytes:
    said, deadline = b"", time.monotonic() + seconds
    while not _CAN.search(said) and (left := deadline - time.monotonic()) > 0 and len(said) < 4096:
        if select.select([keys], [], [], left)[0]:
            said += os.read(keys, 1024)
    return said
