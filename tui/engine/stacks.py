"""What a stack of interventions does to an answer. Worker thread only."""

from __future__ import annotations

from ..circuits import metrics
from ..circuits.tensors import Trace
from ..results import Scalar, Table
from . import targets, words
from .bench import Context
from .jobs import Run, StackEffect
from .jobs.parts import Forward
from .opened import OpenModel, place

CLEAN, TOGETHER = "clean", "all of them"
SHOWN = ("logit difference", "probability", "rank", "KL")


def stack_effect(job: StackEffect, bench: OpenModel, ctx: Context) -> Table:
    """A row a run; the effect is the change of the logit difference."""
    at, target = place(job.run, job.position), job.target
    bench.output_index((*target.answers, *target.distractors))
    trace: Trace = ctx.get(Forward(job.run))
    clean = trace.logits[at]

    def measured(run: Run) -> list[float]:
        ctx.check()
        changed: Trace = ctx.get(Forward(run))
        logits = changed.logits[at][None]
        return [
            float(metrics.measure(metric, logits, target.answers, target.distractors, clean)) for metric in SHOWN
        ]  # fmt: skip

    base = measured(job.run)
    named = [(TOGETHER, job.together)] if len(job.changes) > 1 else []
    named += [(_name(change, on), run) for (change, on), run in zip(job.changes, job.alone, strict=True)]
    rows: list[tuple[Scalar, ...]] = [(CLEAN, base[0], 0.0, *base[1:])]
    for name, run in named:
        found = measured(run)
        rows.append((name, found[0], found[0] - base[0], *found[1:]))
    header = words.header(
        "ablation",
        "what is changed, and what it does to the answer",
        f"{targets.whole(bench, target)} of the changed run",
        unit="logit",
        explanation="each change by itself; a lower bound on what the part does: later parts make up for it",
        convention=words.convention(bench.info, job.run, position=at, weights="any"),
    )
    return Table(header, ("change", "logit difference", "effect", *SHOWN[1:]), tuple(rows), bar="effect")


def _name(change: object, on: bool) -> str:
    return str(change) if on else f"{change} (off)"
