"""What the engine is busy with: a frozen snapshot, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass

from .jobs import Job


@dataclass(frozen=True)
class Running:
    """A job that is being computed."""

    job: Job
    seconds: float
    """Since it was begun."""


@dataclass(frozen=True)
class Kept:
    """A result in the cache."""

    job: Job
    nbytes: int
    seconds: float
    """What computing it took, with the parts that were not there."""


@dataclass(frozen=True)
class Load:
    """What runs, waits and is kept at one moment."""

    running: tuple[Running, ...]
    """The job that is computed, then the parts that it has asked for, innermost last."""
    stage: tuple[str, int, int]
    """What the thread does, how much of it is done, and of how much (0: unknown)."""
    waiting: tuple[Job, ...]
    """In the order in which they are computed."""
    kept: tuple[Kept, ...]
    """The one used last first."""
    used_bytes: int
    limit_bytes: int
    elsewhere: str = ""
    """Where the model is, if it is not on this machine, whose memory says nothing of it then."""
