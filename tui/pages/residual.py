"""Residual: the stream as a sum of what every component writes, and its states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from ..declared import NO_HEAD, NO_TOKENS, Asked, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import aim, cell_line, where
from ..results import Grid
from ..selection import Look, Selection
from . import states
from .going import follow, to_mlp, to_part
from .neurons import NeuronsPage
from .panels import directions, of_head, part_write, position

Flow = Literal["norm", "answer", "states", "final", "writes"]
"""The length or effect of every write, lengths of the states and their cosine with the final one, cosines between the
writes at one position."""
FLOWS: dict[Flow, str] = {
    "norm": "norm of writes", "answer": "effect of writes", "states": "norm of states",
    "final": "cosine of states with the final one", "writes": "cosines between writes",
}  # fmt: skip
_ON_STATES = ("states", "final")
READS: dict[str, jobs.Side] = {"query reads": "q", "key reads": "k", "value reads": "v"}
"""Side panels that split what a head reads."""


@dataclass(frozen=True)
class FlowLook(Look):
    """What of the stream is drawn, and the component under the cursor."""

    passing: ClassVar[tuple[str, ...]] = ("component", "other")
    measure: Flow = "norm"
    component: int = 0
    """Row under the cursor."""
    other: int = 0
    """Column under it, where that is a component too."""


@dataclass(frozen=True)
class PartsLook(Look):
    """Whether parts of the stream are heads or whole layers, or MLPs their experts too."""

    travels: ClassVar[bool] = False
    unit: jobs.StreamUnit = "head"

    def settled(self, s: Selection) -> Self:
        return replace(self, unit="head") if _unit_refused(s, self.unit) else self

    @property
    def of_heads(self) -> jobs.Unit:
        """Where experts are no parts."""
        return "head" if self.unit == "expert" else self.unit


def _unit_refused(s: Selection, value: str) -> str:
    """Why a model has no such parts, or ""."""
    none = value == "expert" and s.model is not None and not s.model.n_experts
    return "this model's MLPs are no mixtures of experts" if none else ""


def _units(s: Selection) -> tuple[str, ...]:
    """Experts are a unit of models that have them."""
    return get_args(jobs.StreamUnit if s.model is not None and s.model.n_experts else jobs.Unit)


UNIT = Option("unit", PartsLook, "unit", get_args(jobs.Unit), "parts by head or by layer component")


def from_tree(s: Selection, layer: int) -> Selection | Say:
    """An MLP of the tree: its neurons where they are shown already, else its row among the writes."""
    if s.page == NeuronsPage.name or s.model is None:
        return to_mlp(s, layer)
    # After embed and pos (if learned) come attention and MLP of each layer.
    look, first = s.look(FlowLook), 2 if s.model.positions == "learned" else 1
    measure: Flow = look.measure if look.measure in ("norm", "answer") else "norm"
    there = replace(look, measure=measure, component=first + 2 * layer + 1)
    return s.put(there, page=ResidualPage.name, layer=layer)


def _part(here: Here) -> str:
    """The component that the cursor's row names."""
    grid, look = here.drawn, here.s.look(FlowLook)
    if not isinstance(grid, Grid) or not grid.values.size or look.measure in _ON_STATES:
        return ""
    return grid.rows.labels[min(look.component, len(grid.rows) - 1)]


def _vector(here: Here) -> jobs.StateAt | jobs.PartWrite | None:
    on_states = here.s.look(FlowLook).measure in _ON_STATES
    return states.vector(here.s) if on_states else part_write(_part(here), here.s)


def _what(here: Here) -> str:
    return states.under(here.s) if here.s.look(FlowLook).measure in _ON_STATES else _part(here)


def _parts(here: Here) -> jobs.ResidualParts | Nothing:
    s = here.s
    if s.run is None:
        return NO_TOKENS
    measure: jobs.Measure = "answer" if s.look(FlowLook).measure == "answer" else "norm"
    return jobs.ResidualParts(s.run, s.position, s.weights, s.look(PartsLook).unit, measure, s.target)


def _reads(name: str) -> Panel:
    def job(here: Here) -> jobs.HeadInput | Nothing:
        s = here.s
        if s.run is None or s.head is None:
            return NO_HEAD
        return jobs.HeadInput(s.run, s.layer, s.head, s.position, READS[name], s.weights, s.look(PartsLook).of_heads)

    def title(here: Here) -> str:
        return f"{here.s.name} {name.removesuffix(' reads')} at {position(here)}"

    return Panel(name, job, title, opens=follow, offered=of_head)


def _exported(ask: Asked) -> jobs.Job:
    o, target = ask.options, ask.given_target()
    measure: jobs.Measure = o.measure or ("norm" if target is None else "answer")
    unit: jobs.StreamUnit = o.unit or "component"
    if o.position is None:
        return jobs.Residual(ask.run, o.weights, measure, target, unit)
    return jobs.ResidualParts(ask.run, ask.place(), o.weights, unit, measure, target)


def _refused(o: Any) -> str:
    if o.measure == "norm" and o.answer is not None and o.position is None:
        return "--answer changes nothing with --measure norm; leave one of them out"
    return "--measure answer needs --answer" if o.measure == "answer" and o.answer is None else ""


def _exported_stream(ask: Asked) -> jobs.Job:
    o = ask.options
    if o.measure == "writes":
        return jobs.WriteCosines(ask.run, ask.place(), o.weights, o.unit or "component")
    return jobs.Stream(ask.run, o.measure or "norm", o.weights, o.mids)


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Residual | jobs.ResidualParts):
        return None
    at = job.position if isinstance(job, jobs.ResidualParts) else None
    return {"run": job.run, "measure": job.measure, "unit": job.unit, "position": at, "target": job.target,
            "weights": job.weights}  # fmt: skip


def _gives_stream(job: jobs.Job) -> Given | None:
    match job:
        case jobs.WriteCosines():
            return {"run": job.run, "measure": "writes", "unit": job.unit, "position": job.position,
                    "weights": job.weights}  # fmt: skip
        case jobs.Stream():
            return {"run": job.run, "measure": job.measure, "mids": job.mids, "weights": job.weights}
    return None


class ResidualPage(Page):
    name = "residual"
    title = "Residual"
    key = "4"
    help = "View 4: the stream as a sum of what every component writes."
    says = ("component × position", "what every component writes: its length, or its effect on the answer (`m`), the "
            "states' norms and their cosine with the final one, cosines between the writes; beside it the parts of "
            "one position and what the selected head's query, key and value read there")  # fmt: skip
    options = (
        Option("mode", FlowLook, "measure", get_args(Flow), "norm or effect of the writes, norm of the states or "
               "their cosine with the final one, cosines between writes"),
        Option("unit", PartsLook, "unit", _units, "parts by head, by layer component, or by expert"),
    )  # fmt: skip
    panels = (
        Panel("parts", _parts, lambda here: f"stream at {position(here)}", opens=follow), *map(_reads, READS),
        directions(_vector, _what),
    )  # fmt: skip
    exports = (
        Export("residual", _exported, ("measure", "unit", "position", "answer", "distractor"),
               {"measure": get_args(jobs.Measure), "unit": get_args(jobs.StreamUnit)}, refuses=_refused, gives=_gives),
        Export("stream", _exported_stream, ("measure", "unit", "position", "mids"),
               {"measure": (*get_args(jobs.StreamMeasure), "writes"), "unit": get_args(jobs.Unit)},
               gives=_gives_stream),
    )  # fmt: skip

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.run is None:
            return NO_TOKENS
        measure = s.look(FlowLook).measure
        if measure == "writes":
            return jobs.WriteCosines(s.run, s.position, s.weights)
        if measure in _ON_STATES:
            kind: jobs.StreamMeasure = "norm" if measure == "states" else "final"
            return jobs.Stream(s.run, kind, s.weights, s.look(states.StateRows).mids)
        if measure == "norm":
            return jobs.Residual(s.run, s.weights)
        return Nothing() if s.target is None else jobs.Residual(s.run, s.weights, "answer", s.target)

    def words(self, s: Selection) -> list[str]:
        measure = s.look(FlowLook).measure
        more = f"toward {aim(s)}" if measure == "answer" else where(s) if measure == "writes" else ""
        return ["residual stream", FLOWS[measure], more]

    def cell(self, s: Selection) -> tuple[int, int]:
        look = s.look(FlowLook)
        if look.measure in _ON_STATES:
            return states.row(s), s.position
        return look.component, look.other if look.measure == "writes" else s.position

    def at(self, s: Selection, row: int, col: int) -> Selection:
        look = s.look(FlowLook)
        if look.measure in _ON_STATES:
            return states.at_row(replace(s, row=col), row)
        if look.measure == "writes":
            return s.put(replace(look, component=row, other=col))
        return s.put(replace(look, component=row), row=col)

    def line(self, here: Here) -> Segments:
        measure = here.s.look(FlowLook).measure
        measured = {"norm": "norm", "states": "norm", "answer": f"toward {aim(here.s)}"}.get(measure, "cosine")
        place = "{0} · {1}" if measure == "writes" else "{0} at {1}"
        return cell_line(here, self.cell(here.s), place, measured)

    def part(self, here: Here) -> str:
        return _part(here)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        if here.s.look(FlowLook).measure in _ON_STATES:
            return Say(f"{states.under(here.s)} is a state, the sum of what came before it: m shows the writes")
        return to_part(here.s, _part(here))
