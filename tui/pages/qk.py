"""QK: which tokens seek which, from the weights alone."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from ..declared import NO_TOKENS, Asked, Command, Export, Given, Here, Nothing, Panel, Say, Segments
from ..engine import jobs
from ..phrases import STRONG, field, number, token, value_at
from ..results import Grid, head_name
from ..selection import Selection
from . import cell as cells
from . import circuit
from .circuit import BASELINE, BASIS, FORM, NORMALIZE, OFFSET, TERM, TERMS, WORDS, CircuitLook, CircuitPage
from .panels import NEAREST, head_writes, partner_panel


def _distance(here: Here) -> jobs.QKDistance | Nothing:
    s, tokens = here.s, circuit.tokens_of(here.s)
    if s.key is None or s.head is None or tokens is None or not len(tokens):
        return NO_TOKENS
    (row, col), look = circuit.cell_of(s), s.look(CircuitLook)
    return jobs.QKDistance(s.key, s.layer, s.head, tokens.ids[row], tokens.ids[col], s.weights, look.form, look.basis)


def _pair(here: Here) -> str:
    tokens, (row, col) = circuit.tokens_of(here.s), circuit.cell_of(here.s)
    return f"{token(tokens, row)} → {token(tokens, col)} by distance"


def _by_distance(s: Selection) -> bool:
    return s.rotary_offset and s.look(CircuitLook).basis != "prompt"


def _exported(ask: Asked) -> jobs.Job:
    o, ids = ask.options, ask.run.ids
    return jobs.QK(
        ask.model.key, *ask.head, ids, ids, o.weights, o.form, o.normalize, o.baseline, o.basis, ask.offset, o.term,
        ask.basis_run,
    )  # fmt: skip


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.QK):
        return None
    text: Given = {"ids": job.rows} if job.run is None else {"run": job.run}
    return {**text, "head": head_name(job.layer, job.head), "form": job.form, "normalize": job.normalize,
            "baseline": job.baseline, "basis": job.basis, "term": job.term, "offset": job.offset or None,
            "weights": job.weights}  # fmt: skip


class QKPage(CircuitPage):
    name = "qk"
    title = "QK"
    key = "2"
    help = "View 2: which tokens seek which, from the weights alone."
    says = ("query → key", "`x_i W_QK x_jᵀ`: which tokens seek which, from the weights; `f` form, `n` normalisation, "
                           "`N` its baseline, `b` basis, `m` token and position terms, `o` rotary offset")  # fmt: skip
    options = (TERM, NORMALIZE, BASELINE, FORM, replace(BASIS, why_not=circuit.basis_refused_in_terms))
    questions = (WORDS, OFFSET)
    commands = (
        Command("words", ("t",), "ask('words')", "token list",
                "Tokens for QK and OV other than the prompt's: France, Paris, king or ids 0:52. Empty: the prompt's "
                "again.", "Prompt"),
        Command("offset", ("o",), "ask('offset')", "offset", "Rotary distance query − key at which QK is taken.",
                "Look"),
        Command("normalize", ("n",), "cycle('normalize')", "normalise",
                "none, centered (row mean removed), zscore, softmax.", "Look"),
        Command("baseline", ("N",), "cycle('baseline')", "baseline",
                "What a row is normalised against: the shown tokens or the whole vocabulary.", "Look"),
        Command("form", ("f",), "cycle('form')", "form",
                "bilinear: W_QK alone, as in the paper. scaled: with biases, over the attention scale.", "Look"),
        Command("basis", ("b",), "cycle('basis')", "basis",
                "What stands for a token: embed, normed, effective (after MLP 0), prompt (the stream at the head).",
                "Look"),
    )  # fmt: skip
    panels = (
        Panel("distance", _distance, _pair, offered=_by_distance), head_writes(lambda s: circuit.cell_of(s)[1]),
        partner_panel("seeks"), partner_panel("sought by"), *NEAREST,
    )  # fmt: skip
    exports = (
        Export("qk", _exported, ("form", "normalize", "baseline", "basis", "term", "offset"),
               {"basis": get_args(jobs.Basis)}, head="needed", gives=_gives),
    )  # fmt: skip

    def job(self, s: Selection) -> jobs.Job | Nothing:
        tokens = circuit.tokens_of(s)
        if s.head is None:
            return Nothing("no head is selected, and the direct path has no QK:\n} selects a head, 3 shows W_E W_U")
        return NO_TOKENS if tokens is None or s.run is None else circuit.qk(s, tokens)

    def words(self, s: Selection) -> list[str]:
        look = s.look(CircuitLook)
        out = [s.name, f"QK {TERMS[look.term]}".rstrip(), look.form, circuit.normalisation(s), look.basis]
        return [*out, f"offset {look.offset}"] if _by_distance(s) else out

    def inspects(self, s: Selection) -> tuple[jobs.Job, ...]:
        return self._read(s).listed()

    def line(self, here: Here) -> Segments:
        look, grid = here.s.look(CircuitLook), here.drawn
        if look.term != "token-token" and isinstance(grid, Grid):  # the axes of this picture are not tokens
            return self._term_line(here.s, look, grid)
        read = self._read(here.s)
        return cells.line(self, here, read) + cells.written(self, here, read)

    def _term_line(self, s: Selection, look: CircuitLook, grid: Grid) -> Segments:
        tokens, at = circuit.tokens_of(s), circuit.cell_of(s)
        names = [
            f"pos {axis.labels[i]}" if kind == "position" else token(tokens, i)
            for kind, axis, i in zip(look.term.split("-"), (grid.rows, grid.cols), at, strict=True)
        ]
        shown_as = "" if look.normalize == "none" else look.normalize
        measured = f"{TERMS[look.term]} {shown_as}".rstrip()
        return [(f" {names[0]} → {names[1]} ", STRONG), *field(measured, number(value_at(grid, *at)))]

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        return replace(here.s, page="ov")

    def _read(self, s: Selection) -> cells.CellJobs:
        return cells.asked(self, s, circuit.cell_of(s)[1])
