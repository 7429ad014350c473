"""Why: one attention score, split over pairs of earlier components."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from ..arrange import ranked_pairs
from ..declared import NO_TOKENS, Asked, Command, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import cell_line, token
from ..results import Grid, head_name
from ..selection import Look, Selection
from .going import follow, to_part_of_two
from .residual import UNIT, PartsLook

if TYPE_CHECKING:
    import numpy as np
else:
    from ..later import numpy as np


AGAINST = ("score", "less the row's mean", "less the marked key")


@dataclass(frozen=True)
class WhyLook(Look):
    """The cursor."""

    passing: ClassVar[tuple[str, ...]] = ("query", "key", "placed")
    query: int = 0
    """Component at the query."""
    key: int = 0
    """Component at the key."""
    placed: bool = False
    """Whether somebody put it there; until then it is on the largest cell."""


@dataclass(frozen=True)
class AgainstLook(Look):
    """What the score is compared with: the softmax sees only differences."""

    travels: ClassVar[bool] = False
    against: str = AGAINST[0]
    marked: int | None = None
    """Position of a key."""

    def remark(self, before: AgainstLook, s: Selection) -> str:
        if self.marked is None or self.marked == before.marked:
            return ""
        name = f"{token(s.tokens, self.marked)} ({self.marked})"
        return f"{name} is the marked key: on another cell W, then m, says what that one has and this one has not"

    def settled(self, s: Selection) -> Self:
        return replace(self, against=AGAINST[0]) if _against_refused(s, self.against) else self


def _against_refused(s: Selection, value: str) -> str:
    marked = s.look(AgainstLook).marked
    if value != AGAINST[2] or s.tokens is None:
        return ""
    if marked is None or marked >= len(s.tokens):
        return "no key is marked: ' on a cell of a pattern marks its key"
    return "the marked key is this one: move to another" if marked == s.prompt_cell[1] else ""


def mark_key(s: Selection) -> Selection | Say:
    """Mark the key of the cell that the prompt's cursor is on."""
    if s.tokens is None:
        return Say(NO_TOKENS.why)
    return s.put(replace(s.look(AgainstLook), marked=s.prompt_cell[1]))


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


PAIRS = Panel("pairs", _job, lambda here: "pairs, ranked",
              lambda here, result: ranked_pairs(result) if isinstance(result, Grid) else result, follow)  # fmt: skip


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    against = o.against if o.against in (None, "mean") else int(o.against)
    return jobs.ScoreParts(ask.run, *ask.head, ask.place("query"), ask.place("key"), o.unit or "head", against)


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.ScoreParts):
        return None
    against = None if job.against is None else str(job.against)
    return {"run": job.run, "head": head_name(job.layer, job.head), "query": job.query, "key": job.key,
            "unit": job.unit, "against": against}  # fmt: skip


def _export_refused(o: Any) -> str:
    if o.key is None:
        return "score-parts needs --key N, the position of the key (and takes --query N)"
    if o.against not in (None, "mean") and not re.fullmatch(r"-?\d+", o.against):
        return f"--against {o.against}: the position of another key, or mean"
    return ""


class WhyPage(Page):
    name = "why"
    title = "Why"
    key = "W"
    help = "Why the head looks there: the score of the cell under the cursor, split over pairs of earlier components."
    says = ("component × component", "one attention score split over pairs of earlier components, one at the "
            "query and one at the key, through frozen norms; `m` takes away what the mean key has, or a key that `'` "
            "has marked: the softmax sees only such differences")  # fmt: skip
    options = (
        UNIT,
        Option("mode", AgainstLook, "against", AGAINST, "the score, less that of the mean key or of a marked one",
               why_not=_against_refused),
    )  # fmt: skip
    panels = (PAIRS,)
    exports = (
        Export("score-parts", _exported, ("unit", "query", "key", "against"), {"unit": get_args(jobs.Unit)},
               head="needed", refuses=_export_refused, gives=_gives),
    )  # fmt: skip
    commands = (
        Command("mark_key", ("apostrophe",), "move('mark_key')", "mark key",
                "Mark the key of this cell: Why can then say what another key has that this one has not.", "Look"),
    )  # fmt: skip
    moves: ClassVar[Mapping[str, Callable[[Selection], Selection | Say]]] = {"mark_key": mark_key}
    list_first = True
    of_head = True
    marks = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.head is None:
            return Nothing("no head is selected, and the direct path has no QK:\n} selects a head, 3 shows W_E W_U")
        if s.run is None:
            return NO_TOKENS
        look = s.look(AgainstLook)
        other: dict[str, int | Literal["mean"] | None] = dict(zip(AGAINST, (None, "mean", look.marked), strict=True))
        return jobs.ScoreParts(s.run, s.layer, s.head, *s.prompt_cell, s.look(PartsLook).of_heads, other[look.against])

    def words(self, s: Selection) -> list[str]:
        row, col = s.prompt_cell
        pair = f"{token(s.tokens, row)} → {token(s.tokens, col)}" if s.tokens else ""
        look = s.look(AgainstLook)
        key = f"less {token(s.tokens, look.marked)} ({look.marked})" if look.marked is not None else ""
        less = {AGAINST[1]: AGAINST[1], AGAINST[2]: key}.get(look.against, "")
        return [f"{s.name} score", pair, less, f"by {s.look(PartsLook).of_heads}"]

    def cell(self, s: Selection) -> tuple[int, int]:
        look = s.look(WhyLook)
        return look.query, look.key

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return s.put(WhyLook(row, col, True))

    def line(self, here: Here) -> Segments:
        of = "of the score" if here.s.look(AgainstLook).against == AGAINST[0] else "of the difference"
        return cell_line(here, self.cell(here.s), "{0} at the query × {1} at the key", of, 2)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        grid = here.drawn
        if not isinstance(grid, Grid) or not grid.values.size:
            return Say("nothing is computed yet that could be opened")
        row, col = min(row, len(grid.rows) - 1), min(col, len(grid.cols) - 1)
        return to_part_of_two(here.s, grid.rows.labels[row], grid.cols.labels[col])

    # --- its life ---

    def entered(self, s: Selection) -> Selection:
        return s.put(WhyLook())

    def asks(self, s: Selection) -> tuple[jobs.Job, ...]:
        job = self.shown(s)
        return (job,) if isinstance(job, jobs.Job) and not s.look(WhyLook).placed else ()

    def told(self, s: Selection, job: jobs.Job, result: Any) -> Selection:
        """The cursor starts on the largest pair."""
        if s.look(WhyLook).placed or job != self.shown(s) or not isinstance(result, Grid) or not result.values.size:
            return s
        row, col = divmod(int(np.argmax(np.abs(result.values))), len(result.cols))
        return s.put(WhyLook(row, col, True))


PAGE = WhyPage()
