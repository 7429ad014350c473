"""What the two sides say to each other. A job is named by its number (``coding``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..label import Label


@dataclass(frozen=True)
class Hello:
    """The screen's first word."""

    version: str
    """Of circuit-tui."""
    schema: str
    """Digest of what jobs and results are made of."""
    client: str
    """The same after a cut: whose model and cache are wanted back."""
    linger: float
    """Minutes for which they are kept while the line is cut."""
    adopts: bool = False
    """Whether a model that another screen has left behind may be taken over."""


@dataclass(frozen=True)
class Welcome:
    """The answer."""

    version: str
    schema: str
    room: str
    """Another one than before the cut: model and cache are gone."""


@dataclass(frozen=True)
class Refused:
    """The answer where it cannot be."""

    sentence: str


@dataclass(frozen=True)
class Want:
    """The whole wish list; the frame's ``learn`` and ``forget`` say which jobs the numbers are."""

    jobs: tuple[int, ...]
    known: tuple[int, ...]
    """Those whose values are on this side already."""


@dataclass(frozen=True)
class Retry:
    """A failed job is tried again."""

    job: int


@dataclass(frozen=True)
class Ping:
    """Asks for a sign of life."""

    number: int


@dataclass(frozen=True)
class Pong:
    """The sign."""

    number: int


@dataclass(frozen=True)
class Look:
    """Asks for the models over there; an older question is not answered any further."""

    number: int
    opened: str
    """Folder of the model that is open."""
    device: str


@dataclass(frozen=True)
class Seen:
    """Some of them."""

    number: int
    free: int | None
    """Free bytes of the device."""
    labels: tuple[Label, ...] = ()
    done: bool = False


@dataclass(frozen=True)
class Bye:
    """The screen has ended: nothing is to be kept."""


@dataclass(frozen=True)
class Came:
    """A job has its value."""

    job: int
    result: Any
    seconds: float


@dataclass(frozen=True)
class Part:
    """What a job has so far."""

    job: int
    result: Any
    done: int
    total: int


@dataclass(frozen=True)
class Step:
    """How far it is with what a job waits for."""

    job: int
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Lost:
    """A job has failed."""

    job: int
    error: str
    hint: str


@dataclass(frozen=True)
class Rest:
    """Every wanted job is done or has failed."""


Message = (
    Hello | Welcome | Refused | Want | Retry | Ping | Pong | Look | Seen | Bye | Came | Part | Step | Lost | Rest
)
