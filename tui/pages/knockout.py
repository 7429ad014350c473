"""Knock out: what the answer loses without each part, measured by running the model without it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from .. import arrange
from ..declared import NO_TOKENS, Asked, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..names import part_name, parts_at
from ..page import Page
from ..phrases import aim, cell_line, field, number, value_at, where
from ..results import Grid, Result
from ..selection import Selection
from . import loss
from .columns import PartColumn
from .going import follow, to_part
from .panels import directions, part_write

Kind = Literal["zero", "zero, value biases folded", "mean"]
FOLDED: Kind = "zero, value biases folded"
BESIDE = ("predicted", "scale")
"""What stands beside the measured logit difference."""
KINDS = ("zero", "mean", "resample", "noise", "scale")
_OF_REFERENCE = ("mean", "resample", "noise")


@dataclass(frozen=True)
class KnockoutLook(PartColumn):
    """What is measured, how parts are knocked out, and where the cursor is beyond the heads."""

    metric: jobs.Metric = "logit difference"
    how: Kind = "zero"

    def settled(self, s: Selection) -> Self:
        look = replace(self, metric=jobs.METRICS[0]) if loss.refused(s, self.metric) else self
        return replace(look, how="zero") if kind_refused(s, look.how) else look


def kind_refused(s: Selection, value: str) -> str:
    """Why parts cannot be knocked out so, or ""."""
    if value == "mean" and (s.file is None or s.file.prepared is None):
        return "the mean is over a file of prompts, and none is open: O opens one"
    return ""


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


def _ranked(here: Here, result: Result) -> Result:
    """Parts by the size of the change, the other metrics' after it where there is room; of the logit difference with
    what was predicted, which leaves none for bars."""
    if not isinstance(result, Grid):
        return result
    metric = here.s.look(KnockoutLook).metric
    table = arrange.ranked(result, result.cols.labels.index(metric))
    names = (name for name in loss.MEASURED if name != metric and name in result.cols.labels)
    others = tuple((name, arrange.SHORT.get(name, name)) for name in names)
    if metric != jobs.METRICS[0]:
        return arrange.picked(table, (("part", "part"), (metric, "change"), *others), "change")
    predicted = ((name, name) for name in BESIDE)
    return arrange.picked(table, (("part", "part"), (metric, "measured"), *predicted, *others))


def _part(here: Here) -> str:
    """The part that the cell under the cursor is."""
    drawn = here.drawn
    if not isinstance(drawn, Grid) or not drawn.values.size:
        return ""
    row, col = PAGE.cell(here.s)
    return part_name(min(row, len(drawn.rows) - 1), drawn.cols.labels[min(col, len(drawn.cols) - 1)])


RANKED = Panel("parts, ranked", _job, lambda here: "parts, ranked", _ranked, follow)


# --- without a screen ---


def _how(o: Any) -> jobs.How:
    return FOLDED if o.fold_value_biases else o.kind or "zero"


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    how, weights = _how(o), o.weights
    reference = ask.reference() if how in _OF_REFERENCE else None
    amount = {"noise": o.sigma, "scale": o.alpha}.get(how)
    amount, seed, memory = 1.0 if amount is None else amount, o.seed or 0, o.memory or 1024
    if o.ablate is None:
        continuation = () if o.continuation is None else ask.words_after(o.continuation)
        return jobs.Effects(
            ask.run, ask.place(), ask.target(), how, amount, seed, reference, weights, memory, continuation
        )
    parts = parts_at(o.ablate)
    assert not isinstance(parts, str)
    changes = tuple(jobs.Ablation(part, how, at, amount, seed, reference, weights) for part, at in parts)
    prompts = ask.prompts() if o.prompts is not None else ask.one_prompt()
    at = -1 if o.prompts is not None else ask.place()
    continuation = () if o.continuation is None else ask.words_after(o.continuation)
    metric = jobs.metric_named(o.metric)
    return jobs.AblationTable(ask.model.key, prompts, changes, o.each, metric, at, memory, continuation)


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Effects):
        return None
    how = "zero" if job.how == FOLDED else job.how
    return {"run": job.run, "target": job.target, "position": job.position, "kind": how,
            "fold_value_biases": job.how == FOLDED, "reference": job.reference, "continuation": job.continuation,
            "sigma": job.amount if how == "noise" else None, "alpha": job.amount if how == "scale" else None,
            "seed": job.seed or None, "weights": job.weights if job.how == FOLDED else None}  # fmt: skip


def _refused(o: Any) -> str:
    how = _how(o)
    if o.ablate is not None and isinstance(problem := parts_at(o.ablate), str):
        return f"--ablate: {problem}"
    if o.ablate is None:
        named = {"--prompts": o.prompts, "--each": o.each or None, "--metric": o.metric}
        given = next((flag for flag, value in named.items() if value is not None), "")
        return f"{given} needs --ablate, such as --ablate L1H3,L2.mlp: which parts" if given else _refused_kind(o, how)
    if o.metric == loss.LOSS and o.continuation is None:
        return "--metric loss needs --continuation TEXT: the text whose loss is measured"
    if o.position is not None and o.prompts is not None:
        return "--position is for one prompt; over --prompts the last one is read"
    return _refused_kind(o, how)


def _refused_kind(o: Any, how: str) -> str:
    if o.fold_value_biases and o.kind not in (None, "zero"):
        return f"--fold-value-biases is for --kind zero: {o.kind} says itself what the value biases become"
    if o.weights != "processed" and not o.fold_value_biases:
        return f"--weights {o.weights} needs --fold-value-biases: nothing else here depends on it"
    if how in _OF_REFERENCE and o.reference is None and o.prompts is None:
        return f"--kind {how} needs --reference FILE, prompts that it reads; or choose --kind zero"
    if how not in _OF_REFERENCE and o.reference is not None:
        return f"--reference is for --kind {', '.join(_OF_REFERENCE)}; {how} reads none"
    if o.seed is not None and how not in ("noise", "resample"):
        return f"--seed is for --kind noise and resample; {how} draws nothing"
    for flag, kind in (("sigma", "noise"), ("alpha", "scale")):
        value = getattr(o, flag)
        if value is not None and how != kind:
            return f"--{flag} is for --kind {kind}"
        if value is not None and not math.isfinite(value):
            return f"--{flag} {value}: a finite number"
    if how == "scale" and o.alpha is None:
        return "--kind scale needs --alpha X, what the part is multiplied by"
    return ""


class KnockoutPage(Page):
    name = "knockout"
    title = "Knock out"
    key = "K"
    help = "What the answer loses without each part: every head and MLP knocked out by itself, measured."
    says = ("layer × head", "the change of the answer when a head or an MLP is knocked out by itself (`u`: zero, zero "
            "with value biases folded, the mean over the open file): logit difference, log-probability, probability, "
            "rank, KL, the loss on a text after the prompt (`m`, `:continuation TEXT`); beside it all parts ranked, "
            "measured next to predicted by direct attribution, so that self-repair shows; below, how much of the "
            "change is the final norm's scale's")  # fmt: skip
    options = (
        Option("mode", KnockoutLook, "metric", loss.MEASURED, "what is measured of the answer", why_not=loss.refused),
        Option("unit", KnockoutLook, "how", get_args(Kind), "what a part becomes", why_not=kind_refused),
    )
    panels = (RANKED, directions(lambda here: part_write(_part(here), here.s), _part))
    exports = (
        Export("ablation", _exported,
               ("ablate", "kind", "sigma", "alpha", "reference", "fold_value_biases", "each", "metric", "seed",
                "memory", "continuation", "position", "answer", "distractor", "prompts"),
               {"kind": KINDS, "metric": loss.WORDS}, refuses=_refused, gives=_gives),
    )  # fmt: skip
    long = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.run is None:
            return NO_TOKENS
        if s.target is None or loss.wanted(s):
            return Nothing()
        how = s.look(KnockoutLook).how
        reference = s.file.prepared if how == "mean" and s.file is not None else None
        weights = s.weights if how == FOLDED else "processed"
        return jobs.Effects(s.run, s.position, s.target, how, reference=reference, weights=weights,
                            continuation=loss.ids(s))  # fmt: skip

    def shape(self, s: Selection, result: Result) -> Result:
        if not isinstance(result, Grid):
            return result
        return arrange.by_layer(result, result.cols.labels.index(s.look(KnockoutLook).metric))

    def words(self, s: Selection) -> list[str]:
        look = s.look(KnockoutLook)
        over = f"over {s.file.name}" if look.how == "mean" and s.file is not None else ""
        weights = f"{s.weights} weights" if look.how == FOLDED else ""
        measured = f"Δ {loss.words(s)}" if look.metric == loss.LOSS else f"Δ {look.metric} of {aim(s)}"
        return [f"knocked out: {look.how}", over, weights, measured, "" if look.metric == loss.LOSS else where(s)]

    def asks(self, s: Selection) -> tuple[jobs.Job, ...]:
        return loss.wanted(s)

    def told(self, s: Selection, job: jobs.Job, result: Any) -> Selection:
        return loss.told(s, job, result)

    def cell(self, s: Selection) -> tuple[int, int]:
        return s.look(KnockoutLook).cell(s, s.head or 0)

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return s.look(KnockoutLook).put_on(s, row, col)

    def line(self, here: Here) -> Segments:
        metric, part = here.s.look(KnockoutLook).metric, _part(here)
        out = cell_line(here, self.cell(here.s), f"{part} out {where(here.s)}", metric)
        for name in BESIDE if metric == jobs.METRICS[0] else (jobs.METRICS[0], *BESIDE):
            if (value := self._value(here, part, name)) is not None:
                out += field(name, number(value, 3))
        return out

    def _value(self, here: Here, part: str, name: str) -> float | None:
        """One number of a part; None while it is not known."""
        whole = here.result(self.shown(here.s))
        if not isinstance(whole, Grid) or part not in whole.rows.labels:
            return None
        return value_at(whole, whole.rows.labels.index(part), whole.cols.labels.index(name))

    def apart(self, changed: Here, clean: Here) -> Segments:
        out: Segments = []
        for name in BESIDE:
            one, other = (self._value(here, _part(changed), name) for here in (changed, clean))
            if one is not None and other is not None:
                out += field(f"Δ {name}", number(one - other, 3))
        return out

    def part(self, here: Here) -> str:
        return _part(here)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        return to_part(here.s, _part(here))


PAGE = KnockoutPage()
