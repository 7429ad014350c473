"""Scores of all heads: which is chosen, on what, and the jobs that give it. Heads shows them, the tree is labelled by
them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from ..engine import jobs
from ..results import Grid, ModelKey, Pairs
from ..selection import Look, Selection
from . import circuit

On = Literal["repeats", "prompt", "file"]
PATTERN_SCORES = ("previous token", "duplicate token", "induction", "first token", "entropy")
COPYING_SCORES = ("copying", "OV top 1", "OV top 5")
PAIRS: Mapping[str, jobs.Circuit] = {"pairs, QK": "qk", "pairs, OV": "ov"}
"""Scores that exist once pairs are searched for → the circuit."""
REPEATS = jobs.Repeats()
_SETTING = re.compile(r"(seed|rows|length|bos)\s*[= ]\s*(\w+)")


@dataclass(frozen=True)
class ScoresLook(Look):
    """What Heads shows, and what heads are scored on."""

    score: str = "induction"
    on: On = "repeats"
    """What pattern scores are read from."""
    repeats: jobs.Repeats = REPEATS
    sample: int | None = 1000
    """Tokens that copying scores are counted on; None: the whole vocabulary."""
    pairs: Pairs | None = None
    pairs_text: str = ""

    @property
    def scores(self) -> tuple[str, ...]:
        """What ``score`` can be now."""
        return (*PATTERN_SCORES, *COPYING_SCORES, *(PAIRS if self.pairs else ()))

    def for_model(self) -> Self:
        return self.without_pairs()

    def without_pairs(self) -> Self:
        """No pairs are searched for."""
        score = ScoresLook.score if self.score in PAIRS else self.score
        return replace(self, pairs=None, pairs_text="", score=score)

    def settled(self, s: Selection) -> Self:
        return replace(self, on="repeats") if on_refused(s, self.on) else self


def on_refused(s: Selection, value: str) -> str:
    """Why heads cannot be scored on that, or ""."""
    if value == "file" and (s.file is None or s.file.prepared is None):
        return "no file of prompts is open: O opens one"
    return ""


def job(s: Selection, name: str) -> jobs.Job | None:
    """The job that holds a score of all heads."""
    look = s.look(ScoresLook)
    if s.key is None:
        return None
    if name in PAIRS:
        ids, basis = look.pairs.ids if look.pairs else (), s.look(circuit.CircuitLook).basis
        return jobs.PairSearch(s.key, ids, PAIRS[name], s.weights, basis, circuit.offset(s)) if ids else None
    if name not in PATTERN_SCORES:
        return jobs.CopyingScores(s.key, s.weights, look.sample)
    if look.on == "file" and s.prompts is not None:
        return jobs.HeadScores(s.key, s.prompts)
    if look.on == "prompt":
        return jobs.HeadScores(s.key, s.run) if s.run is not None else None
    return _on_repeats(s, s.key)


def _on_repeats(s: Selection, key: ModelKey) -> jobs.HeadScores:
    """On repeated random tokens, with a BOS if the prompt has one."""
    return jobs.HeadScores(key, replace(s.look(ScoresLook).repeats, bos=s.with_bos), s.in_force)


def on_repeats(s: Selection) -> jobs.HeadScores | None:
    """The scores that label the heads of the tree: on repeated random tokens; of the clean model where a change is of
    the prompt, which these have nothing of."""
    return _on_repeats(s.clean if any(map(jobs.bound, s.changes)) else s, s.key) if s.key else None


def copying(s: Selection) -> jobs.CopyingScores | None:
    """The scores of how far each head copies."""
    return jobs.CopyingScores(s.key, s.weights, s.look(ScoresLook).sample) if s.key else None


def column(grid: Grid, score: str) -> int:
    """The column of a score; of a pair search its mean z."""
    return grid.cols.labels.index(score) if score in grid.cols.labels else 0


def repeats_text(repeats: jobs.Repeats) -> str:
    """Seed, rows and length as they are typed."""
    length = "auto" if repeats.length is None else repeats.length
    return f"seed={repeats.seed} rows={repeats.rows} length={length}"


def parse_repeats(text: str, before: jobs.Repeats, longest: int) -> jobs.Repeats | str:
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
