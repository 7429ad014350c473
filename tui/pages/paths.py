"""Paths: what each part sends to one receiver alone, between the prompts of a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, get_args

from .. import arrange
from ..declared import Asked, Command, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..names import EMBED, LOGITS, RECEIVERS, edge_name, is_edge, part_at, part_name, receiver_at
from ..page import Page, panel_of
from ..phrases import STRONG, field, number, row_of, value_at, waiting
from ..results import Grid, Result, Table
from ..selection import Look, Selection
from . import pair
from .columns import PartColumn
from .patching import has_estimate, likeliest_of

VARIANTS = {"direct": "direct: clean into corrupted, norm frozen", "ioi": "ioi: corrupted into clean, MLPs run again"}


@dataclass(frozen=True)
class PathsLook(PartColumn):
    """Who receives, and where the cursor is beyond the heads."""

    part: str = LOGITS
    """``logits``, a head or an MLP."""
    side: jobs.Side = "q"
    """What of a head receives."""

    @property
    def receiver(self) -> str:
        """As it is written: ``L2H1.q``."""
        return f"{self.part}.{self.side}" if _is_head(self.part) else self.part

    def settled(self, s: Selection) -> Self:
        at = part_at(self.part)
        if s.model is None or at is None:
            return self
        there = at.layer < s.model.n_layers and (s.model.has_mlp if at.head is None else at.head < s.model.n_heads)
        return self if there else replace(self, part=LOGITS)


@dataclass(frozen=True)
class PathsHow(Look):
    """How paths are patched, and what is measured: the same wherever back leads."""

    travels: ClassVar[bool] = False
    variant: jobs.Variant = "direct"
    measured: jobs.Metric = "logit difference"


def _is_head(part: str) -> bool:
    at = part_at(part)
    return at is not None and at.head is not None


def _side_refused(s: Selection, value: str) -> str:
    look = s.look(PathsLook)
    apart = value != look.side and not _is_head(look.part)
    return f"{look.part} has no query, key and value: enter on a head makes it the receiver" if apart else ""


# --- the side panels ---


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


def _ranked(here: Here, result: Result) -> Result:
    guess = here.result(_estimate(here.s))
    return arrange.sent(result, guess if isinstance(guess, Grid) else None) if isinstance(result, Grid) else result


def _estimate(s: Selection) -> jobs.PathEstimate | None:
    job = PAGE.shown(s)
    if not isinstance(job, jobs.PathGrid) or job.variant != "direct" or not has_estimate(job.metric, "denoise"):
        return None
    return jobs.PathEstimate(job.clean, job.corrupted, job.target, job.receiver, job.metric)


def _edges(here: Here) -> jobs.Job | Nothing:
    job = _job(here)
    if not isinstance(job, jobs.PathGrid):
        return job
    if not has_estimate(job.metric, "denoise"):
        return Nothing(f"a {job.metric} has no gradient to estimate edges from: $ chooses another metric")
    return jobs.PathEdges(job.clean, job.corrupted, job.target, job.metric)


def _opens_row(here: Here, table: Table, row: int) -> Selection | Say | None:
    named = row_of(table, row)
    if "receiver" in named:
        return to_receiver(here.s, str(named["receiver"]))
    return _to_sender(here.s, str(named["part"]))


def _to_sender(s: Selection, part: str) -> Selection | Say:
    """A sender as the next receiver."""
    if part == EMBED:
        return Say("the embedding is where everything starts: nothing sends to it")
    return to_receiver(s, f"{part}.q" if _is_head(part) else part)


def to_receiver(s: Selection, name: str) -> Selection:
    """Another receiver, with the cursor on the layer before it."""
    at = receiver_at(name)
    if at is None or at.layer is None:
        return s.put(replace(s.look(PathsLook), part=LOGITS))
    part, side = (name, "q") if at.head is None else name.rsplit(".", 1)
    s = s.put(replace(s.look(PathsLook), part=part, side=side))  # type: ignore[arg-type]
    return replace(s, layer=min(s.layer, max(0, at.layer - 1)))


RANKED = Panel("senders, ranked", _job, lambda here: "senders, ranked", _ranked, _opens_row)
EDGES = Panel("edges, ranked", _edges, lambda here: "edges, ranked (≈)", lambda here, result: result, _opens_row)


# --- without a screen ---


def _exported(ask: Asked) -> jobs.Job:
    o, key = ask.options, ask.model.key
    metric = jobs.metric_named(o.metric)
    clean, corrupted = (
        jobs.Run(key, tokens.ids, tokens.bos)
        for tokens in (ask.get(jobs.Tokenize(key, text, ask.with_bos, ask.as_chat)) for text in (o.clean, o.corrupted))
    )
    target = ask.given_target() or likeliest_of(ask, clean, corrupted)
    if o.estimate and o.receiver is None:
        return jobs.PathEdges(clean, corrupted, target, metric)
    at = receiver_at(o.receiver or LOGITS)
    assert at is not None
    receiver = at.name
    if o.estimate:
        return jobs.PathEstimate(clean, corrupted, target, receiver, metric)
    memory = (1024 if o.memory is None else o.memory) << 20
    return jobs.PathGrid(clean, corrupted, target, receiver, o.variant or "direct", metric, memory)


def _refused(o: Any) -> str:
    if o.clean is None or o.corrupted is None:
        return "paths needs --clean TEXT and --corrupted TEXT"
    if o.receiver is not None and receiver_at(o.receiver) is None:
        return f"--receiver {o.receiver}: {RECEIVERS}"
    if o.estimate and o.variant == "ioi":
        return "--estimate is of direct paths: ioi runs MLPs again on the way, which no edge's gradient sees"
    if o.estimate and o.memory is not None:
        return "--memory is for exact paths: the estimate is one backward pass"
    return ""


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.PathGrid | jobs.PathEstimate | jobs.PathEdges):
        return None
    return {"clean": job.clean, "corrupted": job.corrupted, "target": job.target,
            "receiver": None if isinstance(job, jobs.PathEdges) else job.receiver,
            "variant": job.variant if isinstance(job, jobs.PathGrid) else None,
            "metric": job.metric.replace(" ", "-"), "estimate": not isinstance(job, jobs.PathGrid)}  # fmt: skip


class PathsPage(Page):
    name = pair.PAGES[1]
    title = "Paths"
    key = "Y"
    help = "What each part sends to one receiver alone: a head's q, k or v, an MLP, the logits; enter follows a sender."
    says = ("layer × (heads, MLP)", "how much of the answer comes back when only what one part sends to one receiver "
            "is that of the other prompt: the receiver is the logits first, enter makes the sender under the cursor "
            "the next one, `,` goes back; `m` its query, key or value, `u` the variant: direct (clean into corrupted, "
            "the norm frozen) or ioi (corrupted into clean, MLPs and norms computed again), `F6` the metric; beside it "
            "the senders ranked with the estimate, and all edges of the model by one backward pass (≈); `c` puts the "
            "edge into the circuit")  # fmt: skip
    group = "Find"
    options = (
        Option("mode", PathsLook, "side", get_args(jobs.Side), "query, key or value of the receiving head",
               why_not=_side_refused),
        Option("unit", PathsHow, "variant", tuple(VARIANTS), "direct, or ioi"),
        Option("metric", PathsHow, "measured", jobs.METRICS, "what is measured"),
    )  # fmt: skip
    panels = (RANKED, EDGES)
    commands = (Command("metric", ("f6",), "cycle('metric')", "metric", "", "Look"),)
    exports = (
        Export("paths", _exported, ("clean", "corrupted", "receiver", "variant", "metric", "estimate", "answer",
                                    "distractor", "memory", "bos"),
               {"variant": tuple(VARIANTS), "metric": jobs.METRIC_WORDS}, "pair", ignores=("weights",),
               refuses=_refused, gives=_gives),
    )  # fmt: skip
    long = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if why := pair.refused(s):
            return why
        wanted, look, how = pair.target(s), s.look(PathsLook), s.look(PathsHow)
        assert s.run is not None
        assert s.corrupted is not None
        assert wanted is not None
        return jobs.PathGrid(s.run, s.corrupted, wanted, look.receiver, how.variant, how.measured)

    def inspects(self, s: Selection) -> tuple[jobs.Job, ...]:
        job = _estimate(s)
        return () if job is None else (job,)

    def shape(self, s: Selection, result: Result) -> Result:
        return arrange.by_layer(result) if isinstance(result, Grid) else result

    def words(self, s: Selection) -> list[str]:
        how = s.look(PathsHow)
        measured = how.measured if how.measured == "KL" else f"{how.measured} {pair.aimed(s)}"
        return [f"to {s.look(PathsLook).receiver}", VARIANTS[how.variant], measured, pair.both(s)]

    # --- the cursor ---

    def cell(self, s: Selection) -> tuple[int, int]:
        return s.look(PathsLook).cell(s, s.head or 0)

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return s.look(PathsLook).put_on(s, row, col)

    # --- what is said and opened ---

    def part(self, here: Here) -> str:
        drawn = here.drawn
        if not isinstance(drawn, Grid) or not drawn.values.size:
            return ""
        row, col = self.cell(here.s)
        return part_name(min(row, len(drawn.rows) - 1), drawn.cols.labels[min(col, len(drawn.cols) - 1)])

    def line(self, here: Here) -> Segments:
        whole, part, receiver = here.result(self.shown(here.s)), self.part(here), here.s.look(PathsLook).receiver
        if not isinstance(whole, Grid) or part not in whole.rows.labels:
            return waiting(here)
        row = whole.rows.labels.index(part)
        value = float(whole.values[row, 0])
        if math.isnan(value):
            return [(f" {part} sends nothing to {receiver}: it does not come before it ", STRONG)]
        out: Segments = [(f" {part} → {receiver} ", STRONG), *field("recovered", number(value, 3))]
        guess = value_at(here.result(_estimate(here.s)), row, 0)
        out += field("estimate ≈", number(guess, 3)) if guess is not None else []
        return out + field(EMBED, number(float(whole.values[whole.rows.labels.index(EMBED), 0]), 3))

    def edge(self, here: Here, listed: str) -> str:
        panel = panel_of(self, here.s)
        if is_edge(listed) or (listed and panel is not None and panel.name != RANKED.name):
            return super().edge(here, listed)
        sender = listed or self.part(here)
        return edge_name((sender, here.s.look(PathsLook).receiver)) if sender else ""

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        part, value = self.part(here), value_at(here.drawn, row, col)
        if not part or value is None:
            return Say("")
        if math.isnan(value):
            return Say(f"{part} does not come before {here.s.look(PathsLook).receiver}: it sends nothing to it")
        return _to_sender(here.s, part)

    # --- its life ---

    def entered(self, s: Selection) -> Selection:
        return pair.entered(s)


PAGE = PathsPage()
