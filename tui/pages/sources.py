"""Sources: what each source token gives a head to say about the answer."""

from __future__ import annotations

from dataclasses import replace

from ..arrange import picked
from ..declared import NO_HEAD, NO_TOKENS, Asked, Export, Given, Here, Nothing, Panel, Say, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import aim, cell_line, token
from ..results import Table, head_name
from ..selection import Selection
from .panels import NEXT_TOKENS, directions, head_writes, position
from .pattern import PatternPage

_COLUMNS = (("source", "source"), ("contribution", "gives"), ("pattern", "pattern"), ("OV", "OV"))


def _row(here: Here) -> jobs.SourceRow | Nothing:
    s = here.s
    if s.run is None or s.head is None or s.target is None:
        return NO_TOKENS
    return jobs.SourceRow(s.run, s.layer, s.head, s.position, s.target, s.weights)


def _given(here: Here) -> str:
    """``L0H2 from ·France``."""
    return f"{here.s.name} from {token(here.s.tokens, here.s.prompt_cell[1])}"


def _vector(here: Here) -> jobs.SourceWrite | None:
    s = here.s
    return None if s.head is None else jobs.SourceWrite(s.layer, s.head, *s.prompt_cell)


ROW = Panel(
    "sources", _row, lambda here: f"{here.s.name} at {position(here)}",
    lambda here, result: picked(result, _COLUMNS, tokens="source") if isinstance(result, Table) else result,
)  # fmt: skip


def _exported(ask: Asked) -> jobs.Job:
    if ask.options.position is None:
        return jobs.Sources(ask.run, *ask.head, ask.target())
    return jobs.SourceRow(ask.run, *ask.head, ask.place(), ask.target(), ask.options.weights)


def _gives(job: jobs.Job) -> Given | None:
    match job:
        case jobs.Sources():
            return {"run": job.run, "head": head_name(job.layer, job.head), "target": job.target}
        case jobs.SourceRow():
            return {"run": job.run, "head": head_name(job.layer, job.head), "target": job.target,
                    "position": job.position, "weights": job.weights}  # fmt: skip
    return None


class SourcesPage(Page):
    name = "sources"
    title = "Sources"
    key = "S"
    help = (
        "What each source token gives the head to say about the answer, beside the pattern and the weights' OV; again: "
        "the pattern."
    )
    says = ("destination → source", "what each source gives the head to say about the answer: `pattern · v W_O` in its "
            "direction, biases inside v; beside it the pattern and the weights' OV of that source")  # fmt: skip
    panels = (ROW, NEXT_TOKENS, head_writes(lambda s: s.prompt_cell[1]), directions(_vector, _given))
    exports = (Export("sources", _exported, ("position", "answer", "distractor"), head="needed", gives=_gives),)
    refuses = {"mode": "sources have one mode; A changes the answer, 1 shows the pattern"}
    of_head = True
    marks = True
    back_to = PatternPage.name

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.head is None:
            return NO_HEAD
        if s.run is None:
            return NO_TOKENS
        return Nothing() if s.target is None else jobs.Sources(s.run, s.layer, s.head, s.target)

    def words(self, s: Selection) -> list[str]:
        return [s.name, "sources", f"toward {aim(s)}"]

    def line(self, here: Here) -> Segments:
        return cell_line(here, here.s.prompt_cell, "{0} → {1}", f"gives toward {aim(here.s)}")

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        """From what a source gives to what the weights say of it."""
        return replace(here.s, page="ov", row=here.s.prompt_cell[1])

