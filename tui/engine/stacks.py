"""What a stack of interventions does to an answer. Worker thread only."""

from __future__ import annotations

from ..circuits import metrics
from ..circuits.errors import Refusal
from ..circuits.tensors import Trace
from ..results import Scalar, Table
from . import targets, words
from .bench import Context
from .jobs import TOGETHER, Run, StackEffect
from .jobs.parts import Forward
from .opened import OpenModel, place

CLEAN = "clean"
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
    refused: dict[str, Scalar] = {}
    for name, run in named:
        try:
            found = measured(run)
            rows.append((name, found[0], found[0] - base[0], *found[1:]))
        except Refusal as error:  # the list stays: what cannot be is taken off or written anew there
            rows.append((name, *[None] * (1 + len(SHOWN))))
            refused[name] = error.message
    header = words.header(
        "ablation",
        "what is changed, and what it does to the answer",
        f"{targets.whole(bench, target)} of the changed run",
        unit="logit",
        explanation="each change by itself; a lower bound on what the part does: later parts make up for it",
        convention=words.convention(bench.info, job.run, position=at, weights="any"),
        details=refused,
    )
    return Table(header, ("change", "logit difference", "effect", *SHOWN[1:]), tuple(rows), bar="effect")


def _name(change: object, on: bool) -> str:
    return str(change) if on else f"{change} (off)"
