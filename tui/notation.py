"""Interventions as they are written and read: in a question, and in the file of ``--stack``, one a line.

    L1H3                     zero, at every position          L1H3@4, L1H3@2-5     at some
    L2.mlp mean              over the reference               L1N17 scale 0.5      times 0.5
    L1H3 folded              zero, value biases folded        L1H3 noise 2 seed 1  2 standard deviations
    L1H3 5>3                 the edge knocked out             L1H3 5>3 drop        its entry alone
    L1H3@2 patch             as in the other prompt
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .engine import jobs
from .names import PARTS, parts_at

FORMS = "write L1H3, L2.mlp mean, L1H3@4-6 scale 0.5, L1H3 noise 2 seed 1 or L1H3 5>3 drop"
_EDGE = re.compile(r"(\S+)\s+(-?\d+)\s*(?:>|→)\s*(-?\d+)(?:\s+(knockout|drop))?", re.IGNORECASE)
_SEED = re.compile(r"\s+seed\s*[= ]\s*(\d{1,9})\s*$", re.IGNORECASE)
_COMMENT = re.compile(r"(^|\s)#(?!\d).*")
"""Not a token's id: ``4 L2: #258``."""
_NUMBER = re.compile(r"-?\d{1,6}(\.\d{1,6})?")
_WORDS: dict[str, jobs.How] = {
    "zero": "zero", "folded": "zero, value biases folded", "mean": "mean", "resample": "resample", "noise": "noise",
    "scale": "scale",
}  # fmt: skip


def read(
    line: str, reference: jobs.Prompts | None, weights: jobs.Weights, other: jobs.Run | None = None
) -> jobs.Change | str:
    """One intervention, or a sentence about what is wrong with the text. ``other``: the run on the other prompt."""
    if (edge := _EDGE.fullmatch(line.strip())) is not None:
        parts = parts_at(edge[1])
        if isinstance(parts, str) or "H" not in parts[0][0]:
            return f"“{edge[1]}” is no head: an edge is a cell of a head's pattern, such as L1H3 5>3"
        return jobs.CutEdge(parts[0][0], int(edge[2]), int(edge[3]), "drop" if _is(edge[4], "drop") else "knockout")
    seed = _SEED.search(line)
    words = (line[: seed.start()] if seed else line).split()
    if not words:
        return f"nothing is named: {FORMS}"
    parts = parts_at(words[0])
    if isinstance(parts, str):
        return parts
    if len(parts) != 1:
        return f"one part a line: {PARTS}"
    if words[1:] and words[1].lower() == "patch" and not words[2:]:
        part, positions = parts[0]
        return "there is no other prompt to patch from" if other is None else jobs.Patch(part, other, positions)
    how = _WORDS.get(words[1].lower()) if len(words) > 1 else "zero"
    if how is None:
        return f"“{words[1]}” is no way of changing a part: {', '.join((*_WORDS, 'patch'))}"
    amounts = words[2:]
    if len(amounts) > 1 or (amounts and how not in ("noise", "scale")) or not all(map(_NUMBER.fullmatch, amounts)):
        return f"“{' '.join(amounts)}” does not belong there: {FORMS}"
    if how == "scale" and not amounts:
        return "scale needs a number, such as L1H3 scale 0.5"
    if how in ("mean", "resample", "noise") and reference is None:
        return f"{how} reads a file of prompts, and none is open"
    part, positions = parts[0]
    return jobs.Ablation(
        part, how, positions, float(amounts[0]) if amounts else 1.0, int(seed[1]) if seed else 0,
        reference if how in ("mean", "resample", "noise") else None, weights,
    )  # fmt: skip


def _is(word: str | None, name: str) -> bool:
    return word is not None and word.lower() == name


def written(change: jobs.Change) -> str:
    """As ``read`` takes it; "" for what cannot be written so."""
    if isinstance(change, jobs.CutEdge):
        return f"{change.part} {change.query}>{change.key}" + (" drop" if change.how == "drop" else "")
    if not isinstance(change, jobs.Ablation | jobs.Patch):
        return ""
    span = change.positions
    if span is not None and span != tuple(range(span[0], span[-1] + 1)):
        return ""
    place = "" if span is None else f"@{span[0]}" if len(span) == 1 else f"@{span[0]}-{span[-1]}"
    if isinstance(change, jobs.Patch):
        return f"{change.part}{place} patch"
    word = next(word for word, how in _WORDS.items() if how == change.how)
    how = "" if word == "zero" else f" {word}"
    amount = f" {change.amount:g}" if change.how == "scale" or (change.how == "noise" and change.amount != 1) else ""
    return f"{change.part}{place}{how}{amount}" + (f" seed {change.seed}" if change.seed else "")


def read_file(
    text: str, reference: jobs.Prompts | None, weights: jobs.Weights, vector: Callable[[str], jobs.Change | str]
) -> tuple[jobs.Change, ...] | tuple[int, str]:
    """Every line of a file but empty ones and comments (``#`` and a blank); else the number of the line and what is
    wrong. ``vector`` reads those that add one: they have a colon."""
    out: list[jobs.Change] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", line).strip()
        if not line:
            continue
        change = vector(line) if ":" in line else read(line, reference, weights)
        if isinstance(change, str):
            return number, change
        out.append(change)
    return tuple(out)
