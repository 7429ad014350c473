"""The tree of heads: what it is labelled, sorted and filtered by. Pure functions and the jobs they read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from .declared import Lookup, Problem, Question
from .engine import jobs
from .names import head_at
from .notes import Note
from .pages import scores
from .pages.scores import ScoresLook
from .results import Grid, head_name
from .selection import Look, Selection

SHORT = {
    "previous token": "prev", "duplicate token": "dup", "induction": "ind", "copying": "copy", "first token": "first",
}  # fmt: skip
"""Scores that label a head, the telling ones first."""
DIGITS = 3
"""Of a score, where it is shown and where a filter compares it."""
BOOKMARKED, NOTED = ("★", "bookmark", "bookmarked"), "note"
LABELLED = 0.4
"""Score from which it labels a head."""


@dataclass(frozen=True)
class TreeLook(Look):
    """Order and filter."""

    travels: ClassVar[bool] = False
    by_score: bool = False
    """Whether heads are sorted by the score of Heads."""
    filter: str = ""


def needs(s: Selection) -> tuple[jobs.Job | None, ...]:
    """What labels the heads, what they are sorted by and filtered by."""
    return (scores.on_repeats(s), sorted_by(s), filtered_by(s))


def sorted_by(s: Selection) -> jobs.Job | None:
    """The job of the score that heads are sorted by."""
    return scores.job(s, s.look(ScoresLook).score) if s.look(TreeLook).by_score else None


def filtered_by(s: Selection) -> jobs.Job | None:
    """The job of the score that the filter compares."""
    name = compared(s.look(TreeLook).filter, s.look(ScoresLook).score)
    return scores.job(s, name) if name else None


def compared(text: str, shown: str) -> str:
    """The score that a filter compares: ``ind>0.6``, or the ``shown`` one for ``>0.6``; "" where it compares none."""
    name, sign, _ = text.partition(">")
    name = name.strip().lower()
    known = dict.fromkeys((shown, *SHORT, *scores.PATTERN_SCORES, *scores.COPYING_SCORES))
    named = (one for one in known if one.lower().startswith(name) or SHORT.get(one, one).startswith(name))
    return next(named, "") if sign else ""


def toggle_order(s: Selection) -> Selection:
    """By score, or by layer."""
    look = s.look(TreeLook)
    return s.put(replace(look, by_score=not look.by_score))


def label_texts(*grids: Grid | None) -> dict[jobs.HeadAt, str]:
    """What each head is, from its scores: ``ind 0.940``, the strongest from ``LABELLED`` up; ``first`` only where there
    is nothing else (attention rests on the first token in most models)."""
    found: dict[jobs.HeadAt, tuple[bool, float, str]] = {}
    for grid in grids:
        if grid is None:
            continue
        names = [name for name in SHORT if name in grid.cols.labels]
        for label, line in zip(grid.rows.labels, grid.values, strict=True):
            at = head_at(label)
            for name in names:
                value = float(line[grid.cols.labels.index(name)])
                if at is None or math.isnan(value) or value < LABELLED:
                    continue
                better = (name != "first token", value, f"{SHORT[name]} {value:.{DIGITS}f}")
                found[at] = max(found.get(at, better), better)
    return {at: text for at, (_, _, text) in found.items()}


def score_texts(score: str, grid: Grid) -> dict[jobs.HeadAt, str]:
    """The score that heads are sorted or filtered by, beside each."""
    short = SHORT.get(score, score.removeprefix("OV ").replace("pairs, ", "z "))
    return {at: f"{short} {value:.{DIGITS}f}" for at, value in _values(grid, score).items() if not math.isnan(value)}


def order(
    look: TreeLook,
    score: str,
    grid: Grid | None,
    labels: Mapping[jobs.HeadAt, str],
    limited: Grid | None = None,
    notes: Mapping[str, Note] = MappingProxyType({}),
) -> tuple[jobs.HeadAt, ...] | None:
    """Heads in the order in which the tree lists them; None: by layer. ``grid`` holds the score that they are sorted
    by, ``limited`` the one that the filter compares."""
    if grid is None or (not look.by_score and not look.filter):
        return None
    heads = [at for label in grid.rows.labels if (at := head_at(label)) is not None]
    if (name := compared(look.filter, score)) != "":
        values = _values(limited, name) if limited is not None else {}
        limit = float(look.filter.partition(">")[2])
        # As it is shown: 0.914 is not above 0.914.
        heads = [at for at in heads if round(values.get(at, math.nan), DIGITS) > limit]
    elif look.filter:
        heads = [at for at in heads if matches(look.filter, at, labels.get(at, ""), notes.get(head_name(*at)))]
    if look.by_score:
        values = _values(grid, score)
        heads.sort(key=lambda at: (math.isnan(values[at]), -values[at], at))
    return tuple(heads)


def _values(grid: Grid, score: str) -> dict[jobs.HeadAt, float]:
    column = scores.column(grid, score)
    lines = zip(grid.rows.labels, grid.values, strict=True)
    return {at: float(line[column]) for label, line in lines if (at := head_at(label)) is not None}


def matches(text: str, at: jobs.HeadAt, label: str, note: Note | None) -> bool:
    """``ind`` or ``L2`` against a head and its label; ``★``, ``note``, ``note copies`` against what the user kept."""
    wanted = text.strip().lower()
    if wanted in BOOKMARKED:
        return note is not None and note.bookmarked
    if wanted.split(" ")[0] == NOTED:
        return note is not None and bool(note.text) and wanted.removeprefix(NOTED).strip() in note.text.lower()
    return wanted in f"{head_name(*at)} {label}".lower()


def _answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    name, sign, limit = (part.strip() for part in text.partition(">"))
    if sign and not compared(text, s.look(ScoresLook).score):
        known = ", ".join((*scores.PATTERN_SCORES, *scores.COPYING_SCORES))
        return Problem(f"no score is called “{name}”: there are {known}; >0.6 alone is the one that Heads shows")
    if sign and not re.fullmatch(r"-?\d+(\.\d+)?", limit):
        return Problem(f"“{limit}” is no number: write ind>0.6")
    return s.put(replace(s.look(TreeLook), filter=text))


TREE = Question("filter", "Heads in the tree", "ind>0.6, or >0.6: by the score that Heads shows · ind · L2: labelled "
                "so · ★ · note, note TEXT: yours · empty: all",
                _answered, lambda s: s.look(TreeLook).filter)  # fmt: skip
