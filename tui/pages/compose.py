"""Compose: which heads feed the query, key or value of this one, or which it feeds; and the circuit through both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from .. import arrange
from ..declared import NO_HEAD, NO_TOKENS, Asked, Command, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..names import head_at, path_at, path_name
from ..page import Page
from ..phrases import cell_line, row_of
from ..results import Grid, Result, Table, Tokens, head_name
from ..selection import Look, Selection
from . import circuit
from .going import to_head

_KINDS = {"q": "query", "k": "key", "v": "value"}


@dataclass(frozen=True)
class ComposeLook(Look):
    """Which composition, the other head, and whether the circuit through both is shown."""

    passing: ClassVar[tuple[str, ...]] = ("other",)
    kind: jobs.Composed = "k"
    direction: jobs.Direction = "from"
    other: jobs.HeadAt = (0, 0)
    """Layer and head under the cursor."""
    virtual: bool = False

    def for_model(self) -> Self:
        return replace(self, other=(0, 0))


def path(s: Selection) -> tuple[jobs.HeadAt, jobs.HeadAt]:
    """Both heads of the circuit through them, the earlier first."""
    look, selected = s.look(ComposeLook), (s.layer, s.head or 0)
    return (look.other, selected) if look.direction == "from" else (selected, look.other)


def _layers(s: Selection) -> Sequence[int]:
    """Layers whose heads are shown."""
    n_layers = s.model.n_layers if s.model is not None else 0
    return range(s.layer) if s.look(ComposeLook).direction == "from" else range(s.layer + 1, n_layers)


def _virtual(s: Selection) -> bool:
    return s.look(ComposeLook).virtual


def toggle_virtual(s: Selection) -> Selection | Say:
    """The circuit through both heads, or the picture of heads again."""
    if s.page != ComposePage.name:
        return Say("virtual heads are in Compose: 8, then the cursor on another head")
    return s.put(replace(s.look(ComposeLook), virtual=not _virtual(s)))


def _ranked(here: Here, result: Result) -> Result:
    return arrange.ranked_heads(result, result.cols.labels.index("z")) if isinstance(result, Grid) else result


def _opens(here: Here, table: Table, row: int) -> Selection | Say | None:
    at = head_at(str(row_of(table, row)["head"]))
    return None if at is None else to_head(here.s, at)


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


RANKED = Panel("heads, ranked", _job, lambda here: "heads, ranked", _ranked, _opens,
               lambda s: not _virtual(s))  # fmt: skip


def _path(ask: Asked) -> tuple[jobs.HeadAt, jobs.HeadAt]:
    both = path_at(ask.options.path)
    assert both is not None
    return both


def _refused_path(o: Any) -> str:
    return "" if path_at(o.path or "") else f"{o.view} needs --path L0H1,L1H2: two heads, the earlier first"


def _exported_qk(ask: Asked) -> jobs.Job:
    ids = ask.run.ids
    side: Literal["k", "q"] = ask.options.side or "k"
    return jobs.VirtualQK(ask.model.key, _path(ask), side, ids, ids, ask.options.weights)


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Composition):
        return None
    return {"head": head_name(job.layer, job.head), "kind": job.kind, "direction": job.direction}


def _gives_ov(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.VirtualOV):
        return None
    return {"ids": job.sources, "path": _written(job.path), "weights": job.weights}


def _gives_qk(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.VirtualQK):
        return None
    return {"ids": job.rows, "path": _written(job.path), "side": job.side, "weights": job.weights}


def _written(path: tuple[jobs.HeadAt, jobs.HeadAt]) -> str:
    return ",".join(head_name(*at) for at in path)


class ComposePage(Page):
    name = "compose"
    title = "Compose"
    key = "8"
    help = "View 8: which heads feed the query, key or value of this one, or which it feeds."
    says = ("layer × head", "which earlier heads feed the query, key or value of the selected head (`m`), or which "
                            "later ones it feeds (`u`): `‖W_OV1 W_QK2‖` over the product of the norms, as z against "
                            "random rotations of the same two heads; `X`: the QK or OV circuit through both, for the "
                            "shown tokens")  # fmt: skip
    group = "Find"
    options = (
        Option("mode", ComposeLook, "kind", get_args(jobs.Composed), "query, key, value"),
        Option("unit", ComposeLook, "direction", get_args(jobs.Direction), "feeding it, or fed by it"),
    )
    panels = (RANKED,)
    commands = (
        Command("virtual", ("X",), "move('virtual')", "virtual head",
                "Compose: the circuit through the head under the cursor and this one, for the shown tokens.", "Find"),
    )  # fmt: skip
    moves = {"virtual": toggle_virtual}
    exports = (
        Export("composition",
               lambda ask: jobs.Composition(ask.model.key, *ask.head, ask.options.kind or "k", ask.options.direction),
               ("kind", "direction"), {"kind": get_args(jobs.Composed)}, "weights", "needed", ("weights",),
               gives=_gives),
        Export("virtual-ov",
               lambda ask: jobs.VirtualOV(ask.model.key, _path(ask), ask.run.ids, ask.run.ids, ask.options.weights),
               ("path",), refuses=_refused_path, gives=_gives_ov),
        Export("virtual-qk", _exported_qk, ("path", "side"), {"side": ("k", "q")}, refuses=_refused_path,
               gives=_gives_qk),
    )  # fmt: skip

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.head is None or s.key is None:
            return NO_HEAD
        look = s.look(ComposeLook)
        return self._through(s) if look.virtual else jobs.Composition(s.key, s.layer, s.head, look.kind, look.direction)

    def _through(self, s: Selection) -> jobs.Job | Nothing:
        tokens, kind = circuit.tokens_of(s), s.look(ComposeLook).kind
        assert s.key is not None
        if tokens is None:
            return NO_TOKENS
        if s.look(ComposeLook).other[0] not in _layers(s):
            return Nothing("put the cursor on a head of another layer first: X goes back to the picture of heads")
        if kind == "v":
            return jobs.VirtualOV(s.key, path(s), tokens.ids, tokens.ids, s.weights)
        return jobs.VirtualQK(s.key, path(s), kind, tokens.ids, tokens.ids, s.weights)

    def shape(self, s: Selection, result: Result) -> Result:
        if _virtual(s) or not isinstance(result, Grid):
            return result
        return arrange.by_layer(result, result.cols.labels.index("z"))

    def words(self, s: Selection) -> list[str]:
        look = s.look(ComposeLook)
        if look.virtual:
            what = "OV" if look.kind == "v" else f"QK, {_KINDS[look.kind]} side"
            return [path_name(path(s)), f"virtual {what}", "embed"]
        who = f"heads that feed the {_KINDS[look.kind]} of {s.name}"
        if look.direction == "into":
            who = f"heads whose {_KINDS[look.kind]} {s.name} feeds"
        return [who, "z, processed weights"]

    def cell(self, s: Selection) -> tuple[int, int]:
        return circuit.cell_of(s) if _virtual(s) else s.look(ComposeLook).other

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return circuit.at_cell(s, row, col) if _virtual(s) else s.put(replace(s.look(ComposeLook), other=(row, col)))

    def tokens(self, s: Selection) -> Tokens | None:
        return circuit.tokens_of(s) if _virtual(s) else s.tokens

    def token_cell(self, s: Selection) -> tuple[int, int]:
        return circuit.cell_of(s) if _virtual(s) else s.prompt_cell

    def line(self, here: Here) -> Segments:
        look = here.s.look(ComposeLook)
        if look.virtual:
            return cell_line(here, self.cell(here.s), "{0} → {1}", f"virtual {look.kind.upper()}")
        return cell_line(here, look.other, f"L{look.other[0]}{{1}}", "z")

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        return Say("X goes back to the picture of heads") if _virtual(here.s) else to_head(here.s, (row, col))

    def entered(self, s: Selection) -> Selection:
        return s.put(replace(s.look(ComposeLook), virtual=False))

    def asks(self, s: Selection) -> tuple[jobs.Job, ...]:
        return circuit.wanted_words(s)

    def told(self, s: Selection, job: jobs.Job, result: Any) -> Selection:
        return circuit.with_words(s, job, result)


PAGE = ComposePage()
