"""What the worker is busy with, in words: the rows of the screen of jobs. No widgets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Literal

from .engine.jobs import Job, Open, Run
from .engine.load import Load
from .results import head_name
from .text import shorten, visible
from .wishes import NAMES

State = Literal["runs", "part", "waits", "stopped", "kept"]
KEPT_AT_MOST = 200
"""Results that are listed: those used last."""
WORD = 24
"""Columns that a text in a job's name may have."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+")


@dataclass(frozen=True)
class Entry:
    """One job as it is listed."""

    job: Job
    state: State
    name: str
    seconds: float | None
    """So far, or in all; None: it has not begun."""
    nbytes: int | None
    """None: there is no result yet."""


def entries(load: Load, stopped: Iterable[Job]) -> list[Entry]:
    """What runs with its parts, what waits in its order, what was stopped by hand, what is kept."""
    out: list[Entry] = []
    for depth, running in enumerate(load.running):
        name = name_of(running.job)
        out.append(Entry(running.job, "part" if depth else "runs", name, running.seconds, None))
    out += [Entry(job, "waits", name_of(job), None, None) for job in load.waiting]
    out += [Entry(job, "stopped", name_of(job), None, None) for job in stopped]
    out += [Entry(one.job, "kept", name_of(one.job), one.seconds, one.nbytes) for one in load.kept[:KEPT_AT_MOST]]
    return out


def stopped_with(job: Job, load: Load) -> list[Job]:
    """The wanted jobs that a job ends with: itself, or all that ask for it where it is a part of others."""
    wanted = [*(running.job for running in load.running[:1]), *load.waiting]
    if job in wanted:
        return [job]
    on_it = [running.job for running in load.running]
    return [one for one in wanted if job in one.needs() or (one in on_it[:1] and job in on_it)]


def name_of(job: Job) -> str:
    """``scores · L1H3 · position 4``: the kind of job, and what tells it from others of its kind."""
    kind = type(job).__name__
    words = NAMES.get(kind) or " ".join(w if w.isupper() else w.lower() for w in _WORDS.findall(kind))
    if isinstance(job, Open):
        return f"{'model' if kind == 'Open' else words} · {shorten(visible(job.source), WORD)}"
    return " · ".join((words, *_details(job)))


def _details(job: Job) -> Iterator[str]:
    layer, head = getattr(job, "layer", None), getattr(job, "head", None)
    if isinstance(layer, int):
        yield head_name(layer, head if isinstance(head, int) else None)
    elif isinstance(head, tuple):
        yield head_name(*head)
    for field in fields(job):
        value = getattr(job, field.name)
        if field.name in ("layer", "head", "model") or value == field.default:
            continue
        if isinstance(value, Run):
            yield f"{len(value.ids)} tokens{', changed' if value.interventions else ''}"
        elif isinstance(value, bool):
            yield field.name if value else f"no {field.name}"
        elif isinstance(value, int | float):
            yield f"{field.name} {value}"
        elif isinstance(value, str) and value:
            yield shorten(visible(value), WORD)
