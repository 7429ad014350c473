"""Attribution: which parts of the stream push the answer's logit at one position."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, get_args

from .. import arrange
from ..declared import NO_TOKENS, Asked, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..names import part_name
from ..page import Page
from ..phrases import aim, cell_line, over_file, row_line, where
from ..results import Grid, Result, Table
from ..selection import Selection
from .columns import PartColumn
from .going import follow, to_part
from .panels import directions, neuron_writes, part_write


@dataclass(frozen=True)
class AttributionLook(PartColumn):
    """What the parts are, and where the cursor is beyond the heads."""

    passing: ClassVar[tuple[str, ...]] = ("column", "beside", "row")
    grain: jobs.Grain = "head"
    row: int = 0
    """Row under the cursor in a list of neurons."""

    def settled(self, s: Selection) -> Self:
        return replace(self, grain="head") if grain_refused(s, self.grain) else self


def grain_refused(s: Selection, value: str) -> str:
    """Why a model has no such parts, or ""."""
    return s.model.capabilities.neurons if value == "neuron" and s.model is not None else ""


def _unit_refused(s: Selection, value: str) -> str:
    over = value == "neuron" and _over(s)
    return "over a file parts are heads or components; F shows one prompt" if over else grain_refused(s, value)


def _unit(s: Selection) -> jobs.Unit:
    return "component" if s.look(AttributionLook).grain == "component" else "head"


def _by_neuron(s: Selection) -> bool:
    return s.look(AttributionLook).grain == "neuron"


def _over(s: Selection) -> bool:
    return s.file is not None and s.file.over


def _part(here: Here) -> str:
    """The part that the cell under the cursor is."""
    drawn = here.drawn
    row, col = AttributionPage.place(here.s)
    if isinstance(drawn, Table) and drawn.rows:
        return str(drawn.rows[min(row, len(drawn.rows) - 1)][0])
    if not isinstance(drawn, Grid) or not drawn.values.size:
        return ""
    return part_name(min(row, len(drawn.rows) - 1), drawn.cols.labels[min(col, len(drawn.cols) - 1)])


def _ranked(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


RANKED = Panel("ranked", _ranked, lambda here: "parts, ranked",
               lambda here, result: arrange.ranked(result) if isinstance(result, Grid) else result,
               follow, lambda s: _over(s) or not _by_neuron(s))  # fmt: skip


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    if o.prompts is not None:
        unit: jobs.Unit = o.unit or "head"
        return jobs.AttributionOver(ask.model.key, ask.changed_prompts(), unit)
    return jobs.Attribution(ask.run, ask.place(), ask.target(), o.unit or "head", ask.layer)


def _refused(o: Any) -> str:
    if (o.unit == "neuron") != (o.layer is not None):
        return "--unit neuron and --layer go together: the neurons of one layer's MLP"
    if o.unit == "neuron" and o.prompts is not None:
        return "--unit neuron is for one prompt; over --prompts the units are head and component"
    return ""


def _gives(job: jobs.Job) -> Given | None:
    match job:
        case jobs.Attribution():
            layer = None if job.layer is None else f"L{job.layer}"
            return {"run": job.run, "unit": job.unit, "position": job.position, "target": job.target, "layer": layer}
        case jobs.AttributionOver():
            return {"prompts": job.prompts, "unit": job.unit}
    return None


class AttributionPage(Page):
    name = "attribution"
    title = "Attribution"
    key = "6"
    help = "View 6: which parts of the stream push the answer's logit at one position."
    says = ("layer × head", "direct logit attribution of the answer at the position, by head, by component, or by the "
            "neurons of one MLP (`u`); beside it all parts ranked, with embedding, positions, biases and rounding in "
            "rows of their own. The final norm's scale is frozen, so the parts sum to the model's own "
            "value")  # fmt: skip
    options = (
        Option("unit", AttributionLook, "grain", get_args(jobs.Grain), "parts by head, by layer component, or by the "
               "neurons of one MLP", why_not=_unit_refused),
    )  # fmt: skip
    panels = (
        RANKED, neuron_writes(_part, lambda s: _by_neuron(s) and not _over(s)),
        directions(lambda here: part_write(_part(here), here.s), _part, lambda s: not _by_neuron(s) and not _over(s)),
    )  # fmt: skip
    exports = (
        Export("attribution", _exported, ("unit", "position", "answer", "distractor", "layer", "prompts"),
               {"unit": get_args(jobs.Grain)}, refuses=_refused, gives=_gives),
    )  # fmt: skip
    refuses = {"mode": "attribution has one mode; u changes what its parts are, A the answer"}

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.run is None:
            return NO_TOKENS
        if s.target is None:
            return Nothing()
        grain = s.look(AttributionLook).grain
        return jobs.Attribution(s.run, s.position, s.target, grain, s.layer if grain == "neuron" else None)

    def over(self, s: Selection, prompts: jobs.Prompts) -> jobs.Job | Nothing:
        return Nothing() if s.key is None else jobs.AttributionOver(s.key, prompts, _unit(s))

    def shape(self, s: Selection, result: Result) -> Result:
        if not isinstance(result, Grid):
            return result
        neurons = _by_neuron(s) and not self.is_over(s)
        return arrange.ranked_in_order(result) if neurons else arrange.by_layer(result)

    def words(self, s: Selection) -> list[str]:
        if self.is_over(s):
            return [f"attribution by {_unit(s)}", f"mean {over_file(s)}"]
        grain = s.look(AttributionLook).grain
        return [f"attribution to {aim(s)}", where(s), f"by {grain}", f"L{s.layer}.mlp" if grain == "neuron" else ""]

    @staticmethod
    def place(s: Selection) -> tuple[int, int]:
        """(row, column) under the cursor."""
        look = s.look(AttributionLook)
        if look.grain == "neuron" and not _over(s):
            return look.row, 0
        return look.cell(s, s.head or 0 if look.grain == "head" else 0)

    def cell(self, s: Selection) -> tuple[int, int]:
        return self.place(s)

    def at(self, s: Selection, row: int, col: int) -> Selection:
        look = s.look(AttributionLook)
        if look.grain == "neuron" and not self.is_over(s):
            return s.put(replace(look, row=row))
        return look.put_on(s, row, col, look.grain != "component")

    def line(self, here: Here) -> Segments:
        if isinstance(here.drawn, Table) and here.drawn.rows:
            return row_line(here.drawn, self.cell(here.s)[0])
        over = self.is_over(here.s)
        place = f"{_part(here)} {'on average' if over else where(here.s)}"
        measured = "toward the answers" if over else f"toward {aim(here.s)}"
        return cell_line(here, self.cell(here.s), place, measured, 2)

    def part(self, here: Here) -> str:
        return _part(here)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        return to_part(here.s, _part(here))


PAGE = AttributionPage()
