"""Why: one attention score, split over pairs of earlier components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ..arrange import ranked_pairs
from ..engine import jobs
from ..page import NO_TOKENS, Asked, Export, Here, Nothing, Page, Panel, Say, Segments
from ..phrases import cell_line, token
from ..results import Grid
from ..selection import Look, Selection
from .going import follow, to_part_of_two
from .residual import UNIT, PartsLook


@dataclass(frozen=True)
class WhyLook(Look):
    """The cursor."""

    query: int = 0
    """Component at the query."""
    key: int = 0
    """Component at the key."""


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


PAIRS = Panel("pairs", _job, lambda here: "pairs, ranked",
              lambda here, result: ranked_pairs(result) if isinstance(result, Grid) else result, follow)  # fmt: skip


def _exported(ask: Asked) -> jobs.Job:
    return jobs.ScoreParts(ask.run, *ask.head, ask.place("query"), ask.place("key"), ask.options.unit or "head")


class WhyPage(Page):
    name = "why"
    title = "Why"
    key = "W"
    help = "Why the head looks there: the score of the cell under the cursor, split over pairs of earlier components."
    says = ("component × component", "one attention score split over pairs of earlier components, one at the query "
                                     "and one at the key, through frozen norms")  # fmt: skip
    options = (UNIT,)
    panels = (PAIRS,)
    exports = (
        Export("score-parts", _exported, ("unit", "query", "key"), {"unit": get_args(jobs.Unit)}, head="needed",
               refuses=lambda o: "" if o.key is not None
               else "score-parts needs --key N, the position of the key (and takes --query N)"),
    )  # fmt: skip
    refuses = {"mode": "a score has one split; u changes what its parts are"}
    of_head = True
    marks = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.head is None:
            return Nothing("no head is selected, and the direct path has no QK:\n} selects a head, 3 shows W_E W_U")
        if s.run is None:
            return NO_TOKENS
        return jobs.ScoreParts(s.run, s.layer, s.head, *s.prompt_cell, s.look(PartsLook).unit)

    def words(self, s: Selection) -> list[str]:
        row, col = s.prompt_cell
        pair = f"{token(s.tokens, row)} → {token(s.tokens, col)}" if s.tokens else ""
        return [f"{s.name} score", pair, f"by {s.look(PartsLook).unit}"]

    def cell(self, s: Selection) -> tuple[int, int]:
        look = s.look(WhyLook)
        return look.query, look.key

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return s.put(WhyLook(row, col))

    def line(self, here: Here) -> Segments:
        return cell_line(here, self.cell(here.s), "{0} at the query × {1} at the key", "of the score", 2)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        grid = here.drawn
        if not isinstance(grid, Grid) or not grid.values.size:
            return Say("nothing is computed yet that could be opened")
        row, col = min(row, len(grid.rows) - 1), min(col, len(grid.cols) - 1)
        return to_part_of_two(here.s, grid.rows.labels[row], grid.cols.labels[col])


PAGE = WhyPage()
