"""OV: what a token makes the head write."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from ..declared import NO_TOKENS, Asked, Command, Export, Given, Here, Nothing, Say, Segments
from ..engine import jobs
from ..phrases import STRONG, VALUE, cached_at, field, number, token
from ..results import Table, head_name
from ..selection import Selection
from . import cell as cells
from . import circuit
from .circuit import BASELINE, BASIS, NORMALIZE, WORDS, CircuitLook, CircuitPage
from .panels import NEAREST, head_writes, partner_panel
from .pattern import PatternPage


def _exported(ask: Asked) -> jobs.Job:
    o, ids, (layer, head) = ask.options, ask.run.ids, ask.layer_and_head
    outputs = None if o.outputs == "all" else ids
    return jobs.OV(ask.model.key, layer, head, ids, outputs, o.weights, o.normalize, o.baseline, o.basis, ask.basis_run)


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.OV):
        return None
    text: Given = {"ids": job.sources} if job.run is None else {"run": job.run}
    outputs = "all" if job.outputs is None else "shown"
    return {**text, "head": None if job.head is None else head_name(job.layer, job.head), "outputs": outputs,
            "normalize": job.normalize, "baseline": job.baseline, "basis": job.basis,
            "weights": job.weights}  # fmt: skip


def direct_path(s: Selection) -> Selection | Say:
    """No head: the model's bigrams."""
    return replace(s, head=None, page=OVPage.name)


class OVPage(CircuitPage):
    name = "ov"
    title = "OV"
    key = "3"
    help = "View 3: what a token makes the head write."
    says = ("source → output", "`x_i W_V W_O W_U`: what a token makes the head write; beside it the ten tokens it "
                               "promotes and suppresses most over the whole vocabulary; `0`: the direct path `W_E "
                               "W_U`")  # fmt: skip
    options = (NORMALIZE, BASELINE, BASIS)
    questions = (WORDS,)
    commands = (
        Command("direct", ("0",), "move('direct')", "direct path",
                "No head: the direct path W_E W_U in OV, the model's bigrams. Any head key returns to a head.", "Go"),
    )  # fmt: skip
    moves = {"direct": direct_path}
    panels = (head_writes(lambda s: circuit.cell_of(s)[0]), partner_panel("written by"), *NEAREST)
    exports = (
        Export("ov", _exported, ("normalize", "baseline", "basis", "outputs"), {"basis": get_args(jobs.Basis)},
               head="optional", gives=_gives),
    )  # fmt: skip
    refuses = {"mode": "OV has one mode; n normalises it, 0 shows the direct path W_E W_U"}

    def job(self, s: Selection) -> jobs.Job | Nothing:
        tokens = circuit.tokens_of(s)
        return NO_TOKENS if tokens is None or s.run is None else circuit.ov(s, tokens)

    def words(self, s: Selection) -> list[str]:
        basis = s.look(CircuitLook).basis
        what = "OV" if s.head is not None else "W_E W_U" if basis == "embed" else "x W_U"
        return [s.name, what, circuit.normalisation(s), basis]

    def cell(self, s: Selection) -> tuple[int, int]:
        row, col = circuit.cell_of(s)
        return row, circuit.output_of(s) if circuit.classes(s) else col

    def token_cell(self, s: Selection) -> tuple[int, int]:
        row, col = circuit.cell_of(s)
        return row, row if circuit.classes(s) else col

    def inspects(self, s: Selection) -> tuple[jobs.Job, ...]:
        return self._read(s).listed()

    def line(self, here: Here) -> Segments:
        """Beside what every circuit says of the cell its value in OV, and its rank over the vocabulary."""
        read = self._read(here.s)
        out, table = cells.line(self, here, read), here.result(read.ov_row)
        tokens, (row, col) = circuit.tokens_of(here.s), circuit.cell_of(here.s)
        if not isinstance(table, Table) or tokens is None:
            return out
        output = circuit.output_of(here.s)
        if names := circuit.classes(here.s):
            col, out = output, [(f" {token(tokens, row)} → {names[output]} ", STRONG)]
        at = {name: table.columns.index(name) for name in ("part", "id", "rank")}
        ranks = [r[at["rank"]] for r in table.rows if r[at["part"]] == "shown" and r[at["id"]] == output]
        rank: Segments = [(f" (#{ranks[0]})", VALUE)] if ranks else []
        return out + field("OV", number(cached_at(here.cached, read.ov, row, col))) + rank

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        return replace(here.s, page=PatternPage.name)

    def _read(self, s: Selection) -> cells.CellJobs:
        return cells.asked(self, s, circuit.cell_of(s)[0])
