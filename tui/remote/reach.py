"""The first word on a line: who is over there, and whether the two understand each other."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from .. import __version__
from ..host import Host, explain
from ..text import visible
from . import coding, talk
from .frames import Ended, Garbled, OtherVersion
from .line import Line, Process

Dial = Callable[[bool], Line]
"""Makes a line; True: there is a terminal on which it may ask. OSError: it cannot."""


class NoLine(Exception):
    """There is no engine over there; ``message`` and ``hint`` say why and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        # Versions and sentences come from the other side.
        self.message, self.hint = (
            "".join(char if char.isprintable() else visible(char) for char in text) for text in (message, hint)
        )
        super().__init__(f"{self.message} {self.hint}".strip())


@dataclass(frozen=True)
class Reached:
    """A machine that has answered."""

    host: Host
    dial: Dial
    hello: talk.Hello
    line: Line
    room: str
    """What keeps model and cache there: another one after a cut is one that has neither."""

    def again(self) -> tuple[Line, str]:
        """Another line to it, and the room. NoLine: there is none."""
        return _call(self.host, self.dial, self.hello, False)


def reach(host: Host, dial: Dial, adopts: bool = False) -> Reached:
    """Connect to a machine for the first time. NoLine: that is not possible. ``adopts``: a model that another screen
    has left behind there may be taken over."""
    hello = talk.Hello(__version__, coding.schema(), uuid.uuid4().hex, host.linger, adopts)
    return Reached(host, dial, hello, *_call(host, dial, hello, True))


def by_ssh(host: Host, show: Callable[[str], object] | None) -> Dial:
    """Lines through ssh; ``show`` is given what it says before the first frame of the first one."""

    def dial(asks: bool) -> Line:
        return Process(host.arguments(os.environ, asks), alone=not asks, show=show if asks else None)

    return dial


def _call(host: Host, dial: Dial, hello: talk.Hello, asks: bool) -> tuple[Line, str]:
    try:
        line = dial(asks)
    except OSError as error:
        raise NoLine(f"ssh cannot be started ({error.strerror}).", "Install OpenSSH's client.") from None
    try:
        return line, _greet(line, host, hello)
    except BaseException:
        line.close()
        raise


def _greet(line: Line, host: Host, hello: talk.Hello) -> str:
    """Find the first frame, say hello, and take the answer: the room over there."""
    try:
        line.begin()
        line.send(hello)
        frame = line.read()
        answer = coding.decode(frame.header, frame.arrays)
    except OtherVersion as error:
        raise _other(host, "", f"frames of version {error.version}") from None
    except (Ended, Garbled, ValueError) as error:
        before = error.args[1] if len(error.args) > 1 else b""
        raise NoLine(*explain(host, *line.why(), before)) from None
    if isinstance(answer, talk.Refused):
        raise NoLine(answer.sentence)
    if not isinstance(answer, talk.Welcome):
        raise NoLine(f"{host.name} answers out of turn.")
    if (answer.version, answer.schema) != (hello.version, hello.schema):
        raise _other(host, answer.version, "other jobs and results under that number")
    return answer.room


def _other(host: Host, version: str, how: str) -> NoLine:
    there = version if version and version != __version__ else f"{version or 'another version'} ({how})"
    return NoLine(
        f"This is circuit-tui {__version__}, and on {host.name} there is {there}.",
        f"Install the same on both: pip install circuit-tui=={__version__} there, or the other here.",
    )
