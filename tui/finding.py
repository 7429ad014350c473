"""What is chosen while heads and tokens are being looked for, as one frozen value; and the texts that choose it.

Scores that heads are ranked and labelled by, the pairs that are searched for, what Compose shows, the tree's order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .engine.jobs import Circuit, Composed, Direction, HeadAt, Repeats, TokenFilter
from .results import Grid, Pairs, head_name

On = Literal["repeats", "prompt", "file"]
PATTERN_SCORES = ("previous token", "duplicate token", "induction", "first token", "entropy")
COPYING_SCORES = ("copying", "OV top 1", "OV top 5")
PAIRS: Mapping[str, Circuit] = {"pairs, QK": "qk", "pairs, OV": "ov"}
"""Scores that exist once pairs are searched for → the circuit."""
SHORT = {
    "previous token": "prev", "duplicate token": "dup", "induction": "ind", "copying": "copy", "first token": "first",
}  # fmt: skip
"""Scores that label a head in the tree, the telling ones first."""
REPEATS, NO_FILTER = Repeats(), TokenFilter()
LABELLED = 0.4
"""Score from which it labels a head."""

_HEAD = re.compile(r"L(\d+)H(\d+)")
_SETTING = re.compile(r"(seed|rows|length|bos)\s*[= ]\s*(\w+)")


@dataclass(frozen=True)
class Finding:
    """Choices of Heads, Compose, the searches and the tree."""

    score: str = "induction"
    """What Heads shows: a name of the three tables above."""
    on: On = "repeats"
    """What pattern scores are read from."""
    repeats: Repeats = REPEATS
    sample: int | None = 1000
    """Tokens that copying scores are counted on; None: the whole vocabulary."""
    pairs: Pairs | None = None
    pairs_text: str = ""
    circuit: Circuit = "ov"
    """Of the pair and singular value views."""
    filter: TokenFilter = NO_FILTER
    filter_text: str = ""
    pair_row: int = 0
    """Cursor in the list of top pairs."""
    singular: int = 0
    """Which pair of singular directions."""
    kind: Composed = "k"
    direction: Direction = "from"
    other: HeadAt = (0, 0)
    """Cursor in Compose: layer and head."""
    virtual: bool = False
    """Whether Compose shows the circuit through both heads."""
    by_score: bool = False
    """Whether the tree is sorted by the score of Heads."""
    tree_filter: str = ""

    @property
    def scores(self) -> tuple[str, ...]:
        """What ``score`` can be now."""
        return (*PATTERN_SCORES, *COPYING_SCORES, *(PAIRS if self.pairs else ()))


def head_at(name: str) -> HeadAt | None:
    """``L1H3`` → (1, 3)."""
    match = _HEAD.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def repeats_text(repeats: Repeats) -> str:
    """Seed, rows and length as they are typed."""
    length = "auto" if repeats.length is None else repeats.length
    return f"seed={repeats.seed} rows={repeats.rows} length={length}"


def parse_repeats(text: str, before: Repeats, longest: int) -> Repeats | str:
    """``seed=1 rows=4 length=20`` → those; a sentence where that cannot be. What is not named stays."""
    values: dict[str, int | None] = {}
    rest = _SETTING.sub("", text).replace(",", " ").strip()
    if rest:
        return f"“{rest}” is no setting: write seed=0 rows=8 length=auto"
    for name, value in _SETTING.findall(text):
        if name == "bos":
            return "the BOS follows the prompt's: B switches it"
        if value == "auto" and name == "length":
            values[name] = None
        elif not value.isdecimal() or len(value) > 9:
            return f"{name} must be a whole number, not {value}"
        else:
            values[name] = int(value)
    made = replace(before, **values)  # type: ignore[arg-type]
    if not 1 <= made.rows <= 256:
        return "rows must be from 1 to 256"
    if made.length is not None and not 1 <= made.length <= longest:
        return f"length must be from 1 to {longest}, half of what the model reads, or auto"
    return made


def parse_filter(text: str) -> TokenFilter | str:
    """``same`` (also a token with itself), ``3+`` (characters), ``/ing$/``, in any order; or what is wrong with it."""
    made = TokenFilter()
    pattern = re.search(r"/(.*)/", text)
    if pattern is not None:
        try:
            re.compile(pattern[1])
        except re.error as error:
            return f"/{pattern[1]}/ is no regular expression: {error}"
        made = replace(made, pattern=pattern[1])
        text = text[: pattern.start()] + text[pattern.end() :]
    for word in text.replace(",", " ").split():
        if word == "same":
            made = replace(made, same=False)
        elif match := re.fullmatch(r"(\d{1,3})\+", word):
            made = replace(made, shortest=int(match[1]))
        else:
            return f"“{word}” is no filter. same: also a token with itself; 3+: that long at least; /ing$/: such tokens"
    return made


def label_texts(*grids: Grid | None) -> dict[HeadAt, str]:
    """What each head is, from its scores: ``ind 0.94``, the strongest from ``LABELLED`` up; ``first`` only where there
    is nothing else (attention rests on the first token in most models)."""
    found: dict[HeadAt, tuple[bool, float, str]] = {}
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


def score_texts(f: Finding, grid: Grid) -> dict[HeadAt, str]:
    """The score that heads are sorted by, beside each."""
    values = grid.values[:, score_column(grid, f.score)]
    short = SHORT.get(f.score, f.score.removeprefix("OV ").replace("pairs, ", "z "))
    named = ((head_at(label), float(value)) for label, value in zip(grid.rows.labels, values, strict=True))
    return {at: f"{short} {value:.2f}" for at, value in named if at is not None and not math.isnan(value)}


def tree_order(f: Finding, grid: Grid | None, labels: Mapping[HeadAt, str]) -> tuple[HeadAt, ...] | None:
    """Heads in the order in which the tree lists them; None: by layer. ``grid`` holds the score of Heads."""
    if grid is None or (not f.by_score and not f.tree_filter):
        return None
    heads = [at for label in grid.rows.labels if (at := head_at(label)) is not None]
    if f.tree_filter:
        heads = [at for at in heads if matches(f.tree_filter, at, labels.get(at, ""))]
    if f.by_score:
        column = score_column(grid, f.score)
        values = {head_at(label): float(v) for label, v in zip(grid.rows.labels, grid.values[:, column], strict=True)}
        heads.sort(key=lambda at: (math.isnan(values[at]), -values[at], at))
    return tuple(heads)


def score_column(grid: Grid, score: str) -> int:
    """The column of a score; of a pair search its mean z."""
    return grid.cols.labels.index(score) if score in grid.cols.labels else 0


def tree_problem(text: str) -> str:
    """What is wrong with a filter of the tree; empty if nothing is."""
    if re.fullmatch(r"[\w ,.]*(\s*>\s*-?\d+(\.\d+)?)?", text.strip()):
        return ""
    return f"“{text}” is no filter: write ind, ind>0.6, L2 or nothing"


def matches(text: str, at: HeadAt, label: str) -> bool:
    """``ind``, ``ind>0.6`` or ``L2`` against a head and its label."""
    wanted, _, limit = text.partition(">")
    wanted = wanted.strip().lower()
    if wanted not in f"{head_name(*at)} {label}".lower():
        return False
    try:
        return not limit.strip() or float(label.split()[-1] if label else "nan") > float(limit)
    except ValueError:
        return False


def path(f: Finding, selected: HeadAt) -> tuple[HeadAt, HeadAt]:
    """The two heads of a virtual circuit, the earlier first."""
    return (f.other, selected) if f.direction == "from" else (selected, f.other)


def others(f: Finding, layer: int, n_layers: int) -> Sequence[int]:
    """Layers whose heads Compose shows for a head of ``layer``."""
    return range(layer) if f.direction == "from" else range(layer + 1, n_layers)
