"""Scores of all heads: where they look, and whether they copy. Worker thread only.

A forward pass, and one head's copying, are parts of their own: a job that is stopped goes on behind those done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..circuits import copying
from ..circuits import scores as patterns
from ..circuits.basis import BLOCK, read, vocabulary, written
from ..circuits.errors import Refusal
from ..results import Axis, Grid, Header, Scalar, frozen
from . import words
from .bench import Context
from .changes import Alone
from .grids import grid, head_axis, ov_details
from .jobs import CopyingScores, HeadScores, Prompts, Repeats, Run, bound
from .jobs.parts import EndsProduct, HeadCopying, PatternSums
from .many import PROMPTS, TOKENS, about
from .opened import OpenModel

STAGE = "pattern scores"
LONGEST = 50
"""L where none is asked for."""
MEANINGS = {
    patterns.PREVIOUS: "mean attention from a token to the one before it",
    patterns.DUPLICATE: "mean attention from a token that has come before to its earlier occurrences",
    patterns.INDUCTION: "mean attention from a token that has come before to the tokens after its earlier occurrences",
    patterns.FIRST: "mean attention on position 0, from all others",
    patterns.ENTROPY: "mean entropy of a row of the pattern, in nats; the first row left out",
}
SHARE = (0.0, 1.0)
LIMITS = tuple(None if score == patterns.ENTROPY else SHARE for score in patterns.SCORES)
"""Shares of attention are drawn as such: of heads that all do next to nothing none may glow."""
COPYING = ("copying", "OV top 1", "OV top 5")
COPYING_MEANINGS = {
    COPYING[0]: "Σ Re λ / Σ |λ| over the eigenvalues of W_E W_V W_O W_U: 1 copies, −1 suppresses",
    COPYING[1]: "share of tokens whose OV row is largest at the token itself",
    COPYING[2]: "share of tokens whose OV row has the token itself among its 5 largest",
}


COPYING_LIMITS = ((-1.0, 1.0), SHARE, SHARE)


def head_scores(job: HeadScores, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("pattern")
    runs, header = _rows_of(job, bench)
    rows, cols = head_axis(bench), Axis("score", patterns.SCORES)
    total, counts = torch.zeros(()), torch.zeros(())
    done = 0
    ctx.progress(STAGE, done, len(runs))
    batches = list(_batches(runs, 1 if job.interventions else PROMPTS))
    each = ctx.each([PatternSums(job.model, batch) for batch in batches])
    for batch, (of_batch, destinations) in zip(batches, each, strict=True):
        total, counts = total + of_batch, counts + destinations
        done += len(batch)
        ctx.progress(STAGE, done, len(runs))
        if done < len(runs):
            details = {**header.details, "so far": f"{done} of {len(runs)} rows"}
            told = replace(header, details=details, partial=True)
            ctx.partial(_scored(told, patterns.means(total, counts), rows, cols))
    return _scored(header, patterns.means(total, counts), rows, cols)


def _scored(header: Header, means: Tensor, rows: Axis, cols: Axis) -> Grid:
    """``means [layer, head, score]`` → ``[head, score]``."""
    made = grid(header, means.flatten(0, 1), rows, cols, diverging=False)
    return replace(made, column_limits=LIMITS)


def pattern_sums(job: PatternSums, bench: OpenModel, ctx: Context) -> tuple[Tensor, Tensor]:
    if job.runs[0].interventions:
        return _changed_sums(job.runs, bench, ctx)
    ids = [run.ids for run in job.runs]
    at = patterns.places(torch.tensor(ids, device=bench.live.device), int(job.runs[0].bos))
    sums: list[Tensor] = []
    bench.live.patterns(ids, lambda layer, pattern: sums.append(patterns.sums(pattern, at)), ctx.check)
    return torch.stack(sums), at.counts


def _changed_sums(runs: Sequence[Run], bench: OpenModel, ctx: Context) -> tuple[Tensor, Tensor]:
    """One prompt after another: what changes do may depend on it."""
    total, counts = torch.zeros(()), torch.zeros(())
    for run in runs:
        at = patterns.places(torch.tensor([run.ids], device=bench.live.device), int(run.bos))
        alone = Alone(run, bench, ctx)
        sums = [
            patterns.sums(bench.trace(run, layer, alone).patterns[layer][None], at)
            for layer in range(bench.info.n_layers)
        ]
        total, counts = total + torch.stack(sums), counts + at.counts
    return total, counts


def _rows_of(job: HeadScores, bench: OpenModel) -> tuple[tuple[Run, ...], Header]:
    """The rows of tokens that patterns are read on, and what is said of them."""
    details: dict[str, Scalar] = dict(MEANINGS)
    match job.on:
        case Repeats():
            runs, rows, notes = _repeats(job, job.on, bench)
            on, explanation = "repeated random tokens", "random tokens, then the same again"
            details |= notes
        case Run():
            runs, rows = (job.on,), {}
            on, explanation = "the prompt", "the prompt"
            bench.index(job.on.ids)
            if len({*(ids := job.on.ids[int(job.on.bos) :])}) == len(ids):
                details["repeats"] = "no token comes twice: there is nothing to read duplicate token and induction from"
        case Prompts():
            runs, rows = tuple(map(job.on.run, range(len(job.on)))), about(job.on)
            on, explanation = "a file of prompts", "the prompts, every destination of any of them counted alike"
    header = words.header(
        "head-scores",
        f"pattern scores on {on}",
        "mean over destinations i of pattern[i, ·]",
        explanation=f"row = head: where it looks, read on {explanation}; entropy in nats",
        convention=words.convention(bench.info, runs[0], weights="any", on=on, **rows),
        details=details,
    )
    return runs, header


def _repeats(
    job: HeadScores, on: Repeats, bench: OpenModel
) -> tuple[tuple[Run, ...], dict[str, Scalar], dict[str, Scalar]]:
    """The rows, what they are, and what is not as one would expect."""
    info, tokens = bench.info, bench.live.tokens
    bos = info.bos_id if on.bos else None
    left_out = {*tokens.special_ids, info.bos_id}
    drawn = torch.tensor([token for token in range(min(tokens.size, info.d_vocab)) if token not in left_out])
    room = (info.n_ctx - (bos is not None)) // 2
    if (own := next(filter(bound, job.changes), None)) is not None:
        raise Refusal(f"{own} is at places of the prompt, which random tokens do not have.",
                      "u scores heads on the prompt, d shows the clean model.")  # fmt: skip
    if on.rows < 1 or (on.length is not None and on.length < 1):
        raise Refusal("Pattern scores need a row or more of a token or more.", "Ask for 8 rows of 50 tokens.")
    if room < 1 or not len(drawn):
        raise Refusal("This model has no room for repeated tokens.", "Read the scores on a prompt.")
    asked = LONGEST if on.length is None else on.length
    if on.length is not None and asked > room:
        raise Refusal(
            f"Twice {asked} tokens do not fit into this model's {info.n_ctx} positions.",
            f"Use a length of 1 to {room}.",
        )
    length = min(asked, room, len(drawn))
    ids = patterns.repeats(drawn, length, on.rows, on.seed, bos)
    notes: dict[str, Scalar] = {}
    if length < min(asked, room):
        notes["length"] = f"{length}, not {min(asked, room)}: the vocabulary has no more tokens to draw from"
    if on.bos and bos is None:
        notes["bos"] = "this model has none"
    runs = tuple(Run(job.model, tuple(row), bos is not None, job.changes) for row in ids.tolist())
    rows: dict[str, Scalar] = {
        "seed": on.seed, "length": length, "rows": on.rows, "tokens": "drawn without replacement, no special ones",
    }  # fmt: skip
    return runs, rows, notes


def _batches(runs: Sequence[Run], most: int) -> Iterator[tuple[Run, ...]]:
    """Rows of one length, with a BOS or without, as many as one forward pass takes, and no more than ``most``."""
    alike: dict[tuple[int, bool], list[Run]] = {}
    for run in runs:
        alike.setdefault((len(run.ids), run.bos), []).append(run)
    for (n, _), group in alike.items():
        size = max(1, min(most, TOKENS // max(1, n)))
        yield from (tuple(group[start : start + size]) for start in range(0, len(group), size))


def copying_scores(job: CopyingScores, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("ov")
    bench.need("one_vocabulary")
    if job.sample is not None and job.sample < 1:
        raise Refusal("A sample has a token or more.", "Ask for 1,000 tokens, or for all.")
    heads = [(layer, head) for layer in range(bench.info.n_layers) for head in range(bench.info.n_heads)]
    values = np.full((len(heads), len(COPYING)), np.nan, dtype=np.float32)
    header = _copying_header(job, bench)
    rows, cols = head_axis(bench), Axis("score", COPYING)
    each = [HeadCopying(job.model, *head, job.weights, job.sample, job.seed) for head in heads]
    for done, found in enumerate(ctx.each(each), 1):
        values[done - 1] = found
        ctx.progress("copying scores", done, len(heads))
        if done < len(heads):
            so_far = {**header.details, "so far": f"{done} of {len(heads)} heads"}
            told = replace(header, details=so_far, partial=True)
            ctx.partial(_copying(told, values, rows, cols))
    return _copying(header, values, rows, cols)


def _copying(header: Header, values: np.ndarray, rows: Axis, cols: Axis) -> Grid:
    limits, columns = COPYING_LIMITS[0], COPYING_LIMITS
    return Grid(header, frozen(values), rows, cols, diverging=True, limits=limits, column_limits=columns)


def ends_product(job: EndsProduct, bench: OpenModel, ctx: Context) -> Tensor:
    def progress(done: int, total: int) -> None:
        ctx.progress("W_U W_E over the vocabulary", done, total)

    norm, processed = bench.live.head(0, 0).norm, job.weights == "processed"
    embedding = vocabulary(bench.ends, "embed", norm, processed, ctx.check, progress)
    return copying.ends_product(bench.unembedding(job.weights), embedding)


def head_copying(job: HeadCopying, bench: OpenModel, ctx: Context) -> tuple[float, ...]:
    head = bench.head(job.layer, job.head, job.weights)
    ids, ends = _sampled(job, bench), bench.ends
    blocks = []
    for start in range(0, len(ids), BLOCK):
        ctx.check()
        some = ids[start : start + BLOCK]
        x = read(written(ends, "embed", some), "embed", head.norm, job.weights == "processed")
        blocks.append(x @ head.W_V)
    outputs = bench.unembedding(job.weights).logits(head.W_O)
    own = copying.own_top(torch.cat(blocks), outputs, ids, ctx.check)
    return copying.eigenvalue_score(head, ctx.get(EndsProduct(job.model, job.weights))), *own


def _sampled(job: CopyingScores | HeadCopying, bench: OpenModel) -> Tensor:
    """The tokens whose rows are ranked; the padding of a vocabulary is none."""
    size = min(bench.live.tokens.size, bench.info.d_vocab)
    ids = torch.arange(size)
    if job.sample is not None and job.sample < size:
        ids = torch.randperm(size, generator=torch.Generator().manual_seed(job.seed))[: job.sample].sort().values
    return ids.to(bench.live.device)


def _copying_header(job: CopyingScores, bench: OpenModel) -> Header:
    size, count = min(bench.live.tokens.size, bench.info.d_vocab), len(_sampled(job, bench))
    return words.header(
        "head-scores",
        "copying scores of the full OV circuit",
        "Σ Re λ / Σ |λ|, λ of W_E W_V W_O W_U",
        explanation="row = head: whether attending to a token raises that token; 1 copies, −1 suppresses",
        convention=words.convention(
            bench.info,
            weights=job.weights,
            basis="embed",
            sample=f"all {size:,} tokens" if count == size else f"{count:,} of {size:,} tokens",
            seed=None if count == size else job.seed,
        ),
        details={**COPYING_MEANINGS, **ov_details(bench.live.head(0, 0), job.weights, bench)},
    )
