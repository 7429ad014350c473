"""SVD: singular values of a head's W_QK or W_OV, each direction read out as tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self, get_args

from ..arrange import picked
from ..declared import NO_HEAD, Asked, Export, Given, Here, Nothing, Panel, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import STRONG, field, number, waiting
from ..results import Curve, Table, head_name
from ..selection import Look, Selection
from .circuit import HALF, Half, with_half_drawn


@dataclass(frozen=True)
class SVDLook(Look):
    """Which pair of singular directions."""

    passing: ClassVar[tuple[str, ...]] = ("index",)
    index: int = 0

    def for_model(self) -> Self:
        return replace(self, index=0)


def _tokens(here: Here) -> jobs.SingularTokens | Nothing:
    s = here.s
    if s.head is None or s.key is None:
        return NO_HEAD
    return jobs.SingularTokens(s.key, s.layer, s.head, s.look(Half).circuit, s.look(SVDLook).index, s.weights)


DIRECTIONS = Panel(
    "singular directions", _tokens, lambda here: f"{here.s.name}: direction {here.s.look(SVDLook).index}",
    lambda here, result: picked(result, (("side", "side"), ("token", "token"), ("value", "value")), "value")
    if isinstance(result, Table) else result,
)  # fmt: skip


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    half: jobs.Circuit = o.circuit or "ov"
    if o.index is not None:
        return jobs.SingularTokens(ask.model.key, *ask.head, half, o.index, o.weights)
    return jobs.Spectrum(ask.model.key, *ask.head, half, o.weights)


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Spectrum | jobs.SingularTokens):
        return None
    index = job.index if isinstance(job, jobs.SingularTokens) else None
    return {"head": head_name(job.layer, job.head), "circuit": job.circuit, "index": index, "weights": job.weights}


class SVDPage(Page):
    name = "svd"
    title = "SVD"
    key = "D"
    help = "Singular values of the head's W_QK or W_OV, each direction read out as tokens; up and down walk them."
    says = ("curve", "singular values of `W_QK` or `W_OV`, each direction read out as tokens")
    group = "Find"
    options = (HALF,)
    panels = (DIRECTIONS,)
    exports = (
        Export("svd", _exported, ("circuit", "index"), {"circuit": get_args(jobs.Circuit)}, "weights", "needed",
               gives=_gives),
    )  # fmt: skip

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.head is None or s.key is None:
            return NO_HEAD
        return jobs.Spectrum(s.key, s.layer, s.head, s.look(Half).circuit, s.weights)

    def words(self, s: Selection) -> list[str]:
        return [s.name, f"singular values of W_{s.look(Half).circuit.upper()}", f"direction {s.look(SVDLook).index}"]

    def step(self, s: Selection, by: int) -> Selection | None:
        if s.model is None:
            return None
        return s.put(SVDLook(max(0, min(s.look(SVDLook).index + by, s.model.d_head - 1))))

    def entered(self, s: Selection) -> Selection:
        return with_half_drawn(s)

    def line(self, here: Here) -> Segments:
        if not isinstance(here.drawn, Curve):
            return waiting(here)
        values = next(iter(here.drawn.series.values()))
        at = min(here.s.look(SVDLook).index, len(values) - 1)
        return [(f" direction {at} of {len(values)} ", STRONG), *field("σ", number(float(values[at]), 3))]
