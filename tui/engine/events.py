"""What the worker says: frozen values that cross from its thread to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .jobs import Job


@dataclass(frozen=True)
class Done:
    """A wanted job has its value."""

    job: Job
    result: Any
    seconds: float
    """What computing it took, with the parts that were not cached."""


@dataclass(frozen=True)
class Partial:
    """What a wanted job has so far; ``done`` and ``total`` as of its last progress."""

    job: Job
    result: Any
    done: int
    total: int


@dataclass(frozen=True)
class Progress:
    """How far the thread is with what ``job`` waits for."""

    job: Job
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Failed:
    """A wanted job will have no value until it is wanted anew or ``retry`` is called."""

    job: Job
    error: str
    hint: str


@dataclass(frozen=True)
class Idle:
    """Every wanted job was done or had failed when this was sent."""


@dataclass(frozen=True)
class Tied:
    """How the line is to the machine on which the thread is, where that is another one."""

    host: str
    seconds: float | None = None
    """There and back; None: not measured yet."""
    trouble: str = ""
    """Why it is cut; empty: it is not."""


Event = Done | Partial | Progress | Failed | Idle | Tied
