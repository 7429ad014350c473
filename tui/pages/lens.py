"""Lens: what each state of the stream would predict, were it the last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from ..declared import NO_TOKENS, Asked, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import aim, cell_line, over_file, row_line
from ..results import Table
from ..selection import Look, Selection
from . import states
from .attribution import AttributionPage
from .panels import directions, position
from .states import MIDS, StateRows

MEASURES: dict[jobs.LensMeasure, str] = {
    "probability": "top token's probability", "answer": "answer's probability", "rank": "answer's rank",
    "entropy": "entropy", "kl": "KL(final ‖ lens)",
}  # fmt: skip
_OF_ANSWER = ("answer", "rank")


@dataclass(frozen=True)
class LensLook(Look):
    """What a cell's colour is."""

    travels: ClassVar[bool] = False
    measure: jobs.LensMeasure = "probability"


def _top(here: Here) -> jobs.LensTop | Nothing:
    s = here.s
    return NO_TOKENS if s.run is None else jobs.LensTop(s.run, states.under(s), s.position)


def _curve(name: str, measure: Literal["probability", "rank"]) -> Panel:
    def job(here: Here) -> jobs.LensCurve | Nothing:
        s = here.s
        if s.run is None:
            return NO_TOKENS
        if s.target is None:
            return Nothing()
        return jobs.LensCurve(s.run, s.position, s.target, measure, s.look(StateRows).mids)

    return Panel(name, job, lambda here: f"{measure} at {position(here)}")


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    measure: jobs.LensMeasure = o.measure or "probability"
    if o.prompts is not None:
        return jobs.LensOver(ask.model.key, ask.changed_prompts(), o.mids)
    if o.state is not None:
        return jobs.LensTop(ask.run, o.state, ask.place())
    if o.position is not None:
        kind: Literal["probability", "rank"] = "rank" if measure == "rank" else "probability"
        return jobs.LensCurve(ask.run, ask.place(), ask.target(), kind, o.mids)
    return jobs.Lens(ask.run, measure, ask.target() if measure in _OF_ANSWER else None, o.mids)


def _refused(o: Any) -> str:
    of_answer = o.measure in _OF_ANSWER or o.position is not None or o.prompts is not None
    if o.answer is not None and (not of_answer or o.state is not None):
        return "lens has an --answer with --measure answer or rank, with --position, and with --prompts"
    if o.prompts is not None and (o.measure or o.position is not None or o.state):
        return "lens over --prompts gives every measure at the last position: leave --measure, --position out"
    return ""


def _gives(job: jobs.Job) -> Given | None:
    match job:
        case jobs.Lens():
            return {"run": job.run, "measure": job.measure, "target": job.target, "mids": job.mids}
        case jobs.LensTop():
            return {"run": job.run, "state": job.state, "position": job.position}
        case jobs.LensCurve():
            rank = "rank" if job.measure == "rank" else None
            return {"run": job.run, "measure": rank, "position": job.position, "target": job.target, "mids": job.mids}
        case jobs.LensOver():
            return {"prompts": job.prompts, "mids": job.mids}
    return None


class LensPage(Page):
    name = "lens"
    title = "Lens"
    key = "5"
    help = "View 5: what each state of the stream would predict, were it the last."
    says = ("state × position", "the token each state would predict, coloured by its probability, the answer's "
            "probability or rank, entropy, or KL to the final distribution (`m`); `u` adds the states between "
            "attention and MLP; beside it the ten likeliest, and the answer over the layers as a curve. Every state "
            "gets its own norm statistics")  # fmt: skip
    options = (
        Option("mode", LensLook, "measure", get_args(jobs.LensMeasure), "probability of the top token or of the "
               "answer, its rank, entropy, KL to the final one"),
        MIDS,
    )  # fmt: skip
    panels = (
        Panel("top tokens", _top, lambda here: f"{states.under(here.s)} at {position(here)}"),
        _curve("probability by layer", "probability"), _curve("rank by layer", "rank"),
        directions(lambda here: states.vector(here.s), lambda here: states.under(here.s)),
    )  # fmt: skip
    exports = (
        Export("lens", _exported, ("measure", "position", "answer", "distractor", "mids", "state", "prompts"),
               {"measure": get_args(jobs.LensMeasure)}, refuses=_refused, gives=_gives),
    )  # fmt: skip

    ranked = False

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.run is None:
            return NO_TOKENS
        measure, mids = s.look(LensLook).measure, s.look(StateRows).mids
        if measure not in _OF_ANSWER:
            return jobs.Lens(s.run, measure, None, mids)
        return Nothing() if s.target is None else jobs.Lens(s.run, measure, s.target, mids)

    def over(self, s: Selection, prompts: jobs.Prompts) -> jobs.Job | Nothing:
        return Nothing() if s.key is None else jobs.LensOver(s.key, prompts, s.look(StateRows).mids)

    def words(self, s: Selection) -> list[str]:
        if self.is_over(s):
            return ["logit lens", f"mean {over_file(s)}"]
        measure = s.look(LensLook).measure
        return ["logit lens", MEASURES[measure], aim(s) if measure in _OF_ANSWER else ""]

    def cell(self, s: Selection) -> tuple[int, int]:
        return states.row(s), s.position

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return states.at_row(s if self.is_over(s) else replace(s, row=col), row)

    def line(self, here: Here) -> Segments:
        if isinstance(here.drawn, Table) and here.drawn.rows:
            return row_line(here.drawn, states.row(here.s))
        measure = here.s.look(LensLook).measure
        if measure == "rank":
            return cell_line(here, self.cell(here.s), "{0} at {1}", "rank of the answer", None)
        return cell_line(here, self.cell(here.s), "{0} at {1}", MEASURES[measure])

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        """From a state to what made it."""
        return replace(here.s, page=AttributionPage.name)
