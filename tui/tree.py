"""The tree of heads: what it is labelled, sorted and filtered by. Pure functions and the jobs they read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from .engine import jobs
from .names import head_at
from .page import Lookup, Problem, Question
from .pages import scores
from .pages.scores import ScoresLook
from .results import Grid, head_name
from .selection import Look, Selection

SHORT = {
    "previous token": "prev", "duplicate token": "dup", "induction": "ind", "copying": "copy", "first token": "first",
}  # fmt: skip
"""Scores that label a head, the telling ones first."""
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
    """What labels the heads, and what they are sorted by."""
    return (scores.on_repeats(s), sorted_by(s))


def sorted_by(s: Selection) -> jobs.Job | None:
    """The job of the score that heads are sorted by."""
    return scores.job(s, s.look(ScoresLook).score) if s.look(TreeLook).by_score else None


def toggle_order(s: Selection) -> Selection:
    """By score, or by layer."""
    look = s.look(TreeLook)
    return s.put(replace(look, by_score=not look.by_score))


def label_texts(*grids: Grid | None) -> dict[jobs.HeadAt, str]:
    """What each head is, from its scores: ``ind 0.94``, the strongest from ``LABELLED`` up; ``first`` only where there
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
                better = (name != "first token", value, f"{SHORT[name]} {value:.2f}")
                found[at] = max(found.get(at, better), better)
    return {at: text for at, (_, _, text) in found.items()}


def score_texts(score: str, grid: Grid) -> dict[jobs.HeadAt, str]:
    """The score that heads are sorted by, beside each."""
    values = grid.values[:, scores.column(grid, score)]
    short = SHORT.get(score, score.removeprefix("OV ").replace("pairs, ", "z "))
    named = ((head_at(label), float(value)) for label, value in zip(grid.rows.labels, values, strict=True))
    return {at: f"{short} {value:.2f}" for at, value in named if at is not None and not math.isnan(value)}


def order(
    look: TreeLook, score: str, grid: Grid | None, labels: Mapping[jobs.HeadAt, str]
) -> tuple[jobs.HeadAt, ...] | None:
    """Heads in the order in which the tree lists them; None: by layer. ``grid`` holds the score."""
    if grid is None or (not look.by_score and not look.filter):
        return None
    heads = [at for label in grid.rows.labels if (at := head_at(label)) is not None]
    if look.filter:
        heads = [at for at in heads if matches(look.filter, at, labels.get(at, ""))]
    if look.by_score:
        column = scores.column(grid, score)
        values = {head_at(label): float(v) for label, v in zip(grid.rows.labels, grid.values[:, column], strict=True)}
        heads.sort(key=lambda at: (math.isnan(values[at]), -values[at], at))
    return tuple(heads)


def matches(text: str, at: jobs.HeadAt, label: str) -> bool:
    """``ind``, ``ind>0.6`` or ``L2`` against a head and its label."""
    wanted, _, limit = text.partition(">")
    wanted = wanted.strip().lower()
    if wanted not in f"{head_name(*at)} {label}".lower():
        return False
    try:
        return not limit.strip() or float(label.split()[-1] if label else "nan") > float(limit)
    except ValueError:
        return False


def _answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    if not re.fullmatch(r"[\w ,.]*(\s*>\s*-?\d+(\.\d+)?)?", text.strip()):
        return Problem(f"“{text}” is no filter: write ind, ind>0.6, L2 or nothing")
    return s.put(replace(s.look(TreeLook), filter=text))


TREE = Question("filter", "Heads in the tree", "ind · ind>0.6 · L2 · copy: the heads labelled so · empty: all",
                _answered, lambda s: s.look(TreeLook).filter)  # fmt: skip
