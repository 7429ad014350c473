"""Neurons: those of one MLP that matter most, along the prompt; its experts where it is a mixture of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, get_args

from ..declared import NO_TOKENS, Asked, Export, Given, Here, Nothing, Option, Say, Segments
from ..engine import jobs
from ..names import neuron_at
from ..page import Page
from ..phrases import aim, cell_line, where
from ..results import Grid
from ..selection import Look, Selection
from .panels import neuron_writes


@dataclass(frozen=True)
class ExpertsLook(Look):
    """What of a mixture of experts is shown."""

    measure: jobs.ExpertMeasure = "router"


def _mixed(s: Selection) -> bool:
    """Whether MLPs are experts, so that they have no neurons of one layer."""
    return s.model is not None and s.model.n_experts > 0


@dataclass(frozen=True)
class NeuronsLook(Look):
    """Which neuron was asked for, and the row under the cursor."""

    passing: ClassVar[tuple[str, ...]] = ("neuron", "row", "placed")
    found: ClassVar[tuple[str, ...]] = ("placed",)
    neuron: jobs.HeadAt | None = None
    """Layer and number of the neuron that the user named; None: those that matter most."""
    row: int = 0
    placed: jobs.Job | None = None
    """The job in whose rows the named neuron was looked up already: from there on the cursor is the user's."""

    def settled(self, s: Selection) -> Self:
        if self.neuron is None or s.model is None:
            return self
        there = self.neuron[0] == s.layer and 0 <= self.neuron[1] < s.model.d_mlp
        return self if there else replace(self, neuron=None)


def _measured(s: Selection) -> str:
    """What a cell of experts is."""
    measure = s.look(ExpertsLook).measure
    return {"router": "router weight", "norm": "norm of its write"}.get(measure, f"toward {aim(s)}")


def _part(here: Here) -> str:
    """The neuron that the cursor's row is."""
    grid = here.drawn
    if not isinstance(grid, Grid) or not grid.values.size:
        return ""
    return grid.rows.labels[min(here.s.look(NeuronsLook).row, len(grid.rows) - 1)]


WRITES = neuron_writes(_part, lambda s: not _mixed(s))


def _exported_experts(ask: Asked) -> jobs.Job:
    target, layer = ask.given_target(), ask.layer
    assert layer is not None
    return jobs.Experts(ask.run, layer, ask.options.measure or ("router" if target is None else "answer"), target)


def _refused_experts(o: Any) -> str:
    if o.layer is None:
        return "experts needs --layer L2"
    if o.measure in ("router", "norm") and o.answer is not None:
        return f"--answer changes nothing with --measure {o.measure}; leave one of them out"
    return "--measure answer needs --answer" if o.measure == "answer" and o.answer is None else ""


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    named = neuron_at(o.neuron) if o.neuron is not None else None
    if ask.tokens is None:
        assert named is not None
        return jobs.NeuronTokens(ask.model.key, *named, o.weights)
    layer = named[0] if named else ask.layer
    assert layer is not None
    return jobs.Neurons(ask.run, layer, ask.place(), ask.target(), named[1] if named else None)


def _refused(o: Any) -> str:
    if o.neuron is not None and neuron_at(o.neuron) is None:
        return f"--neuron {o.neuron}: a neuron is written L2N17"
    if o.layer is None and o.neuron is None:
        return "neurons needs --layer L2, or --neuron L2N17"
    if o.neuron is None and all(value is None for value in (o.prompt, o.tokens, o.token_ids)):
        return "neurons needs --prompt, --tokens or --token-ids"
    return ""


def _gives(job: jobs.Job) -> Given | None:
    match job:
        case jobs.NeuronTokens():
            return {"neuron": f"L{job.layer}N{job.neuron}", "weights": job.weights}
        case jobs.Neurons():
            named = None if job.neuron is None else f"L{job.layer}N{job.neuron}"
            layer = f"L{job.layer}" if named is None else None
            return {"run": job.run, "position": job.position, "target": job.target, "layer": layer, "neuron": named}
    return None


def _gives_experts(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Experts):
        return None
    return {"run": job.run, "layer": f"L{job.layer}", "measure": job.measure, "target": job.target}


class NeuronsPage(Page):
    name = "neurons"
    title = "Neurons"
    key = "U"
    help = ("The layer's MLP: the neurons that matter most at the position, along the prompt, and what each writes; "
            "its experts where it is a mixture of them.")  # fmt: skip
    says = ("neuron × position", "the neurons of the layer's MLP that matter most, the tokens above coloured by the "
                                 "one under the cursor; beside it the tokens it promotes and suppresses. Of a "
                                 "mixture of experts (`m`): each expert's router weight, the norm of what it adds, "
                                 "its effect on the answer")  # fmt: skip
    options = (
        Option("mode", ExpertsLook, "measure", get_args(jobs.ExpertMeasure), "of a mixture of experts its router "
               "weights, the norm of what each expert writes, its effect on the answer"),
    )  # fmt: skip
    refuses = {"mode": "neurons have one mode; [ and ] change the layer"}
    panels = (WRITES,)
    exports = (
        Export("neurons", _exported, ("position", "answer", "distractor", "layer", "neuron"), reads="either",
               refuses=_refused, gives=_gives),
        Export("experts", _exported_experts, ("measure", "layer", "answer", "distractor"),
               {"measure": get_args(jobs.ExpertMeasure)}, refuses=_refused_experts, gives=_gives_experts),
    )  # fmt: skip
    marks = True

    def option(self, key: str, s: Selection) -> Option | None:
        return super().option(key, s) if _mixed(s) else None

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.run is None:
            return NO_TOKENS
        measure = s.look(ExpertsLook).measure
        if _mixed(s):
            if measure == "answer":
                return Nothing() if s.target is None else jobs.Experts(s.run, s.layer, measure, s.target)
            return jobs.Experts(s.run, s.layer, measure)
        named = s.look(NeuronsLook).neuron
        return jobs.Neurons(s.run, s.layer, s.position, s.target, named[1] if named else None)

    def words(self, s: Selection) -> list[str]:
        if _mixed(s):
            return [f"L{s.layer} experts", _measured(s)]
        named = s.look(NeuronsLook).neuron
        return [f"L{s.layer} neurons", f"those that matter most {where(s)}" if named is None else ""]

    def cell(self, s: Selection) -> tuple[int, int]:
        return s.look(NeuronsLook).row, s.prompt_cell[1]

    def at(self, s: Selection, row: int, col: int) -> Selection:
        """The position stays: it says which neurons are shown."""
        return s.put(replace(s.look(NeuronsLook), row=row), col=col)

    def line(self, here: Here) -> Segments:
        measured = _measured(here.s) if _mixed(here.s) else "activation"
        return cell_line(here, self.cell(here.s), "{0} at {1}", measured)

    def part(self, here: Here) -> str:
        return _part(here)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        if _mixed(here.s):
            return Say(f"{_part(here)} is one expert: m shows its weight, what it writes and its effect")
        return replace(here.s, panel=WRITES.name, panel_shown="open")

    def shade(self, here: Here) -> tuple[float, ...] | None:
        """Activations of the neuron under the cursor along the prompt, the largest ±1."""
        grid = here.drawn
        if not isinstance(grid, Grid) or not grid.values.size:
            return None
        values = grid.values[min(here.s.look(NeuronsLook).row, len(grid.rows) - 1)]
        most = float(abs(values).max())
        return tuple((values / most).tolist()) if most > 0 else None

    def told(self, s: Selection, job: jobs.Job, result: Any) -> Selection:
        """The cursor goes to the neuron that the user named, once it is known where that is."""
        look = s.look(NeuronsLook)
        if look.neuron is None or look.placed == job or not isinstance(result, Grid) or job != self.shown(s):
            return s
        name = f"L{look.neuron[0]}N{look.neuron[1]}"
        row = result.rows.labels.index(name) if name in result.rows.labels else look.row
        return s.put(replace(look, row=row, placed=job))
