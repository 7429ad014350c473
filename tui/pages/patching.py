"""Patching: what it does to an answer when one activation of a prompt's run becomes that of another prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from .. import arrange, prompts
from ..declared import Asked, Command, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..names import head_at, neuron_at
from ..page import Page
from ..phrases import GOOD, STRONG, VALUE, field, number, over_file, row_of, value_at, waiting, where
from ..results import Grid, Result, Table
from ..selection import Look, Selection, clamp
from . import loss, pair
from .going import to_head, to_mlp, to_neuron

TOWARD = {"denoise": "denoise: clean into corrupted", "noise": "noise: corrupted into clean"}
GRIDS: dict[str, tuple[jobs.Site, jobs.By]] = {
    **{f"{site} by head": (site, "head") for site in ("z", "q", "k", "v", "pattern")},
    "z by head and position": ("z", "head-position"),
    **{f"{site} by position": (site, "position") for site in ("resid_pre", "resid_mid", "attn_out", "mlp_out")},
    "neurons of a layer": ("neuron", "neuron"),
}
"""What a picture is of → site and cells."""
STATISTICS = ("ratio of means", "spread", "same sign")
"""Of each node, over pairs; the picture is of the first."""


@dataclass(frozen=True)
class PatchingLook(Look):
    """What is patched, which way, and what is measured."""

    passing: ClassVar[tuple[str, ...]] = ("row",)
    of: str = "z by head"
    measured: jobs.Metric = "logit difference"
    toward: jobs.Toward = "denoise"
    here: bool = False
    """Whether heads and neurons are patched at the position alone, not everywhere at once."""
    row: int = 0
    """Row under the cursor in a list of neurons."""

    @property
    def site(self) -> jobs.Site:
        return GRIDS[self.of][0]

    @property
    def by(self) -> jobs.By:
        return GRIDS[self.of][1]

    def settled(self, s: Selection) -> Self:
        look = replace(self, measured=jobs.METRICS[0]) if measured_refused(s, self.measured) else self
        return replace(look, of="z by head") if of_refused(s, look.of) else look


def measured_refused(s: Selection, value: str) -> str:
    """Why a metric cannot be measured, or ""."""
    if value == loss.LOSS and PAGE.is_over(s):
        return "over pairs there is no one text whose loss could be measured: F shows one pair"
    return loss.refused(s, value)


def of_refused(s: Selection, value: str) -> str:
    """Why there is nothing of that kind to patch in the model, or ""."""
    if s.model is None:
        return ""
    if GRIDS[value][0] == "mlp_out" and not s.model.has_mlp:
        return f"{s.model.name} has no MLPs"
    if GRIDS[value][1] in ("head-position", "neuron") and PAGE.is_over(s):
        return "over pairs a cell is a head or a layer: F shows one pair"
    reasons = {"resid_mid": s.model.capabilities.states_mid, "neuron": s.model.capabilities.neurons}
    return reasons.get(GRIDS[value][0], "")


def _here_refused(s: Selection, value: bool) -> str:
    if PAGE.is_over(s):
        return "over pairs everything is patched at all positions: F shows one pair" if value else ""
    by_position = s.look(PatchingLook).by in ("position", "head-position")
    return "every position has cells of its own here" if value and by_position else ""


# --- the side panel ---


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


def _ranked(here: Here, result: Result) -> Result:
    if PAGE.is_over(here.s):
        return arrange.patched_over(result) if isinstance(result, Grid) else result
    guess = here.result(_estimate(here.s))
    return arrange.patched(result, guess if isinstance(guess, Grid) else None) if isinstance(result, Grid) else result


def _estimate(s: Selection) -> jobs.PatchingEstimate | None:
    job = PAGE.shown(s)
    return job.estimate if isinstance(job, jobs.PatchingGrid) and has_estimate(job.metric, job.toward) else None


def has_estimate(metric: str, toward: str) -> bool:
    """Whether a metric has a slope at the run that is changed."""
    return metric != "rank" and not (metric == "KL" and toward == "noise")


def _opens_row(here: Here, table: Table, row: int) -> Selection | Say | None:
    return _to(here.s, str(row_of(table, row)["part"]))


def _to(s: Selection, name: str) -> Selection | Say:
    """A head's pattern, a layer's neurons, a neuron."""
    first = name.split(" ")[0].split("–")[0]
    if (at := head_at(first)) is not None:
        return to_head(s, at)
    if (neuron := neuron_at(first)) is not None:
        return to_neuron(s, neuron)
    if s.look(PatchingLook).site == "mlp_out":
        return to_mlp(s, s.layer)
    return Say("a state of the stream: 5 shows what each predicts, u patches heads")


RANKED = Panel("patches, ranked", _job, lambda here: "patches, ranked", _ranked, _opens_row)


# --- without a screen ---


def _exported(ask: Asked) -> jobs.Job:
    o, key = ask.options, ask.model.key
    site: jobs.Site = o.site or "z"
    metric = jobs.metric_named(o.metric)
    toward: jobs.Toward = "noise" if o.noise else "denoise"
    memory = (1024 if o.memory is None else o.memory) << 20
    if o.pairs is not None:
        file = prompts.read_pairs(o.pairs)
        pairs = ask.get(jobs.PreparePrompts(key, Path(o.pairs).name, file.rows, ask.with_bos, chat=ask.as_chat))
        return jobs.PatchingOver(key, pairs, site, metric, toward, o.estimate, memory)
    one, other = (
        jobs.Run(key, tokens.ids, tokens.bos)
        for tokens in (ask.get(jobs.Tokenize(key, text, ask.with_bos, ask.as_chat)) for text in (o.clean, o.corrupted))
    )
    after = () if o.continuation is None else ask.words_after(o.continuation)
    target = ask.given_target() or likeliest_of(ask, one, other)
    one, other = (replace(run, ids=(*run.ids, *after)) for run in (one, other))
    kind = jobs.PatchingEstimate if o.estimate else jobs.PatchingGrid
    by: jobs.By = o.by or ("neuron" if site == "neuron" else "head" if site in ("z", "q", "k", "v", "pattern") else
                           "position")  # fmt: skip
    return kind(one, other, target, site, by, metric, toward, o.position, ask.layer, memory, after)


def likeliest_of(ask: Asked, *runs: jobs.Run) -> jobs.Target:
    """The likeliest token after the first prompt, against that after the second where it is another."""
    found = []
    for run in runs:
        table = ask.get(jobs.NextTokens(run, len(run.ids) - 1, 1))
        found.append(int(table.rows[0][table.columns.index("id")]))
    return jobs.Target((found[0],), (found[1],) if found[1] != found[0] else ())


def _refused(o: Any) -> str:
    if (o.pairs is None) == (o.clean is None) or (o.clean is None) != (o.corrupted is None):
        return "patching needs --clean TEXT and --corrupted TEXT, or --pairs FILE"
    if o.pairs is not None and any(value is not None for value in (o.by, o.position, o.answer, o.layer)):
        return "--pairs is one number a head or layer, with the file's answers: leave --by, --position, --answer out"
    if o.pairs is not None and (o.continuation is not None or o.metric == loss.LOSS):
        return "--pairs has no one text whose loss could be measured: leave --continuation out"
    if o.metric == loss.LOSS and o.continuation is None:
        return "--metric loss needs --continuation TEXT: the text whose loss is measured"
    if (o.site == "neuron") != (o.layer is not None):
        return "--site neuron and --layer go together: the neurons of one layer's MLP"
    if o.position is not None and o.by in ("position", "head-position"):
        return f"--position: by {o.by} every position has a cell of its own"
    return ""


def _gives(job: jobs.Job) -> Given | None:
    if isinstance(job, jobs.PatchingOver):
        return {"pairs": job.pairs, "site": job.site, "metric": _word(job.metric), "noise": job.toward == "noise",
                "estimate": job.estimate}  # fmt: skip
    if not isinstance(job, jobs.PatchingGrid | jobs.PatchingEstimate):
        return None
    one, other = (replace(run, ids=run.ids[: job.length]) for run in (job.clean, job.corrupted))
    layer = None if job.layer is None else f"L{job.layer}"
    return {"clean": one, "corrupted": other, "target": job.target, "site": job.site, "by": job.by,
            "metric": _word(job.metric), "noise": job.toward == "noise", "position": job.position, "layer": layer,
            "estimate": isinstance(job, jobs.PatchingEstimate), "continuation": job.continuation}  # fmt: skip


def _word(metric: jobs.Metric) -> str:
    return metric.replace(" ", "-")


class PatchingPage(Page):
    name = pair.PAGES[0]
    title = "Patching"
    key = "9"
    help = "View 9: what it does to the answer when one activation becomes that of another prompt; esc stops."
    says = ("layer × head", "how much of the answer comes back when one activation of the corrupted prompt's run "
            "becomes that of the clean one (`P` types the other prompt, `r` turns the direction round): z, q, k, v or "
            "pattern of heads, states and writes by position, neurons (`u`); `m` the metric. All cells are there at "
            "once as estimates (≈) from one backward pass and become exact, the strongest first; esc stops and "
            "keeps. Over a file of pairs (`P`): ratio of means, beside it spread and share of pairs of the same "
            "sign")  # fmt: skip
    group = "Find"
    options = (
        Option("mode", PatchingLook, "measured", loss.MEASURED, "the metric",
               why_not=measured_refused),
        Option("unit", PatchingLook, "of", tuple(GRIDS), "what is patched", why_not=of_refused),
        Option("toward", PatchingLook, "toward", tuple(TOWARD), "clean into corrupted, or corrupted into clean"),
        Option("span", PatchingLook, "here", (False, True), "at all positions at once, or at this one",
               why_not=_here_refused),
    )  # fmt: skip
    of_pairs = modes_over = True
    panels = (RANKED,)
    questions = (pair.PAIR,)
    commands = (
        Command("pair", ("P",), "ask('pair')", "other prompt",
                "The corrupted prompt that goes with this one, as many tokens long, for Patching and Paths; capital, "
                "induction and indirect object are pairs that the demo model knows. Or a file of pairs: F shows all of "
                "them or one, < and > walk them.", "Prompt"),
        Command("toward", ("r",), "cycle('toward')", "direction",
                "denoise, clean into corrupted: is it sufficient? noise, corrupted into clean: is it necessary? They "
                "are not mirror images.", "Look"),
        Command("span", ("s",), "cycle('span')", "positions", "", "Look"),
    )  # fmt: skip
    exports = (
        Export("patching", _exported, ("clean", "corrupted", "pairs", "site", "by", "metric", "estimate", "noise",
                                       "position", "layer", "answer", "distractor", "memory", "continuation", "bos"),
               {"site": get_args(jobs.Site), "by": get_args(jobs.By),
                "metric": loss.WORDS},
               "pair", ignores=("weights",), refuses=_refused, gives=_gives),
    )  # fmt: skip
    long = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if why := pair.refused(s):
            return why
        wanted, look = pair.target(s), s.look(PatchingLook)
        assert s.run is not None
        assert s.corrupted is not None
        assert wanted is not None
        at = s.position if look.here and look.by in ("head", "neuron") else None
        layer = s.layer if look.by == "neuron" else None
        if loss.wanted(s):
            return Nothing()
        runs = loss.after(s.run, s), loss.after(s.corrupted, s)
        return jobs.PatchingGrid(*runs, wanted, look.site, look.by, look.measured, look.toward, at, layer,
                                 continuation=loss.ids(s))  # fmt: skip

    def asks(self, s: Selection) -> tuple[jobs.Job, ...]:
        return loss.wanted(s)

    def told(self, s: Selection, job: jobs.Job, result: Any) -> Selection:
        return loss.told(s, job, result)

    def over(self, s: Selection, prompts: jobs.Prompts) -> jobs.Job | Nothing:
        if s.changes and s.contrast != "clean":
            return pair.CHANGED
        look = s.look(PatchingLook)
        return jobs.PatchingOver(prompts.runs[0].model, prompts, look.site, look.measured, look.toward)

    def inspects(self, s: Selection) -> tuple[jobs.Job, ...]:
        job = _estimate(s)
        return () if job is None else (job,)

    def shape(self, s: Selection, result: Result) -> Result:
        if not isinstance(result, Grid):
            return result
        if self.is_over(s):
            return arrange.nodes_by_layer(result)
        shown = arrange.with_words(result, pair.both(s))
        return arrange.patched(shown, None) if s.look(PatchingLook).by == "neuron" else shown

    def words(self, s: Selection) -> list[str]:
        look = s.look(PatchingLook)
        at = where(s) if look.here and look.by in ("head", "neuron") else ""
        layer = f"L{s.layer}" if look.by == "neuron" else ""
        if self.is_over(s):
            of = look.of if look.by == "head" else f"{look.site} by layer"
            return [of, f"{look.measured}, {STATISTICS[0]}", TOWARD[look.toward], over_file(s)]
        measured = look.measured if look.measured == "KL" else f"{look.measured} {pair.aimed(s)}"
        measured = loss.words(s) if look.measured == loss.LOSS else measured
        return [look.of, layer, at, measured, TOWARD[look.toward]]

    # --- the cursor ---

    def cell(self, s: Selection) -> tuple[int, int]:
        look = s.look(PatchingLook)
        if look.by == "neuron":
            return look.row, 0
        if look.by == "position":
            return s.layer, 0 if self.is_over(s) else s.position
        node = (s.head or 0) // self._group(s)
        count = s.model.n_heads // self._group(s) if s.model is not None else 1
        return (s.layer, node) if look.by == "head" else (s.layer * count + node, s.position)

    def at(self, s: Selection, row: int, col: int) -> Selection:
        look = s.look(PatchingLook)
        if look.by == "neuron":
            return s.put(replace(look, row=row))
        if look.by == "position":
            return replace(s, layer=row) if self.is_over(s) else replace(s, layer=row, row=col)
        if look.by == "head":
            return replace(s, layer=row, head=col * self._group(s))
        count = s.model.n_heads if s.model is not None else 1
        layer, head = divmod(row, count)
        return replace(s, layer=layer, head=head, row=col)

    @staticmethod
    def _group(s: Selection) -> int:
        """Query heads that one node of the picture is."""
        if s.model is None or s.look(PatchingLook).site not in ("k", "v"):
            return 1
        return s.model.n_heads // s.model.n_key_value_heads

    # --- what is said and opened ---

    def line(self, here: Here) -> Segments:
        drawn, (row, col) = here.drawn, self.cell(here.s)
        if isinstance(drawn, Table) and drawn.rows:
            named = row_of(drawn, min(row, len(drawn.rows) - 1))
            value = named["recovered"]
            return [(f" {named['part']} ", STRONG), *field("recovered", number(float(value or 0), 3)),
                    (f"  {'estimate' if named['is'] == '≈' else 'exact'}", GOOD)]  # fmt: skip
        if not isinstance(drawn, Grid) or not drawn.values.size:
            return waiting(here)
        row, col = clamp(row, len(drawn.rows)), clamp(col, len(drawn.cols))
        name = arrange.patched_name(drawn, row, col)
        if self.is_over(here.s):
            whole = here.result(self.shown(here.s))
            if not isinstance(whole, Grid) or name not in whole.rows.labels:
                return waiting(here)
            values = whole.values[whole.rows.labels.index(name)].tolist()
            said = [field(label, number(value, 3)) for label, value in zip(whole.cols.labels, values, strict=True)]
            return [(f" {name} ", STRONG), *(piece for pieces in said for piece in pieces)]
        guess = value_at(here.result(_estimate(here.s)), row, col)
        rough = drawn.text is not None and bool(drawn.text[row][col])
        out: Segments = [(f" {name} ", STRONG)]
        out += field("recovered", number(float(drawn.values[row, col]), 3))
        out.append((f"  {'estimate' if rough else 'exact'}", VALUE if rough else GOOD))
        return out + (field("predicted", number(guess, 3)) if guess is not None and not rough else [])

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        drawn = here.drawn
        if isinstance(drawn, Table) and drawn.rows:
            return _to(here.s, str(drawn.rows[min(row, len(drawn.rows) - 1)][0]))
        return _to(here.s, arrange.patched_name(drawn, row, col)) if isinstance(drawn, Grid) else Say("")

    # --- its life ---

    def entered(self, s: Selection) -> Selection:
        return pair.entered(s)


PAGE = PatchingPage()
