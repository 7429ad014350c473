"""A file of prompts, tokenized, with the target of each. Worker thread only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ..circuits.errors import Refusal
from ..models.errors import ModelError
from ..results import Split
from ..text import shorten, visible
from . import targets
from .bench import Context
from .jobs import FindTarget, PreparePrompts, PromptRow, Prompts, Run, Target
from .opened import OpenModel


def prepare_prompts(job: PreparePrompts, bench: OpenModel, ctx: Context) -> Prompts:
    if not job.rows:
        raise Refusal(f"There is no prompt in {job.name}.", "Write one a line.")
    if job.target is not None:
        bench.output_index((*job.target.answers, *job.target.distractors))
    runs: list[Run] = []
    corrupted: list[Run] = []
    aims: list[Target | None] = []
    labels: list[str] = []
    with_own_bos = 0
    found: dict[tuple[str, str], tuple[Target | None, str]] = {("", ""): (job.target, "")}
    for number, row in enumerate(job.rows, 1):
        ctx.check()
        try:
            tokens = bench.live.tokens.encode(row.text, job.bos, job.chat)
            other = bench.live.tokens.encode(row.corrupted, job.bos, job.chat) if row.corrupted else None
            words_of = (row.answer, row.distractor)
            if words_of not in found:
                found[words_of] = _find(row, job, bench, ctx)
        except ModelError as error:
            start = shorten(" ".join(map(visible, row.text.split())), 40)
            raise ModelError(f"Prompt {number} of {job.name} (“{start}”): {error.message}", error.hint) from None
        runs.append(Run(job.model, tokens.ids, tokens.bos))
        if other is not None:
            corrupted.append(Run(job.model, other.ids, other.bos))
        with_own_bos += bool(tokens.bos_from) and not job.chat
        aim, label = found[words_of]
        aims.append(aim)
        labels.append(label)
        ctx.progress("tokens of the prompts", number, len(job.rows))
    texts = tuple(row.text for row in job.rows)
    digest = _digest(job, [*runs, *corrupted], aims)
    return Prompts(digest, job.name, tuple(runs), tuple(aims), texts, tuple(labels), with_own_bos,
                   corrupted=tuple(corrupted))  # fmt: skip


def _find(row: PromptRow, job: PreparePrompts, bench: OpenModel, ctx: Context) -> tuple[Target, str]:
    """A row's own target, and it in words. ModelError where a word is not one token."""
    text = f"{row.answer} - {row.distractor}" if row.distractor else row.answer
    found = targets.find_target(FindTarget(job.model, text), bench, ctx)
    if isinstance(found, Split):
        raise ModelError(*found.problem)
    return Target(found.answers.ids, found.distractors.ids), found.label


def _digest(job: PreparePrompts, runs: Sequence[Run], aims: Sequence[Target | None]) -> str:
    out = hashlib.blake2b(repr((job.model, job.name, job.bos)).encode(), digest_size=16)
    for row, aim in zip(job.rows, aims, strict=True):
        out.update(repr((row.text, row.corrupted, aim)).encode())
    for run in runs:
        out.update(repr(run.ids).encode())
    return out.hexdigest()
