"""One head's keys of the whole vocabulary, and their mean and covariance: baselines of QK rows. Worker thread only."""

from __future__ import annotations

import torch
from torch import Tensor

from ..circuits import basis, fold, qk
from ..circuits.tensors import HeadWeights
from ..results import head_name
from .bench import Context
from .jobs.parts import KeyMoments, MomentsBlock, StreamMoments, VocabularyKeys
from .opened import OpenModel

PRODUCTS = 10**11
"""Multiplications up to which a CPU makes the moments of a vocabulary over d_model; beyond, a head's own keys."""


def vocabulary_keys(job: VocabularyKeys, bench: OpenModel, ctx: Context) -> Tensor:
    head, processed = bench.head(job.layer, job.head, job.weights), job.weights == "processed"
    stage = f"keys of the vocabulary, {head_name(job.layer, job.head)}"

    def told(done: int, total: int) -> None:
        ctx.progress(stage, done, total)

    rows = basis.vocabulary(bench.ends, job.basis, head.norm, processed, ctx.check, told)
    return qk.vocabulary_keys(head, rows, job.form)


def stream_moments(job: StreamMoments, bench: OpenModel, ctx: Context) -> qk.Moments:
    blocks, total = [], len(bench.ends.W_E)
    for rows in basis.slices(total, job.basis):
        blocks.append(ctx.get(MomentsBlock(job.model, job.basis, rows.start, rows.stop)))
        ctx.progress("moments of the vocabulary", min(rows.stop, total), total)
    return qk.merged(blocks)


def moments_block(job: MomentsBlock, bench: OpenModel, ctx: Context) -> qk.BlockMoments:
    norm = fold.bare(bench.live.head(0, 0).norm)
    rows = basis.written(bench.ends, job.basis, slice(job.start, job.stop))
    return qk.block_moments(basis.read(rows, job.basis, norm, False), ctx.check)


def key_moments(job: KeyMoments, bench: OpenModel, ctx: Context) -> qk.Moments:
    """From the vocabulary's moments through the head's weights where that is exact and affordable, else from keys.

    A head then costs d_model² · d_head products instead of d_vocab · d_model · d_head: 4 ms instead of 150 on
    GPT-2. The stored norm's w and b go into the weights first, so all heads share the moments of one basis.
    """
    keys = job.keys
    stored = bench.live.head(keys.layer, keys.head)
    cheap = bench.ends.W_E.is_cuda or len(bench.ends.W_E) * bench.info.d_model**2 <= PRODUCTS
    if stored.k_norm is not None or not cheap:
        k = ctx.get(keys)
        return qk.moments(k[start : start + basis.BLOCK] for start in range(0, len(k), basis.BLOCK))
    through = fold.fold_head(stored) if keys.weights == "processed" or keys.basis != "embed" else stored
    b = through.b_K
    if keys.form == "bilinear":
        # Only what the norm's own b adds on the way: part of x with raw weights, left out with processed ones.
        raw_b = keys.weights == "raw" and keys.basis != "embed"
        b = b - stored.b_K if raw_b else torch.zeros_like(b)
    whole: qk.Moments = ctx.get(StreamMoments(keys.model, keys.basis))
    return whole.through(_rotated(through, through.W_K), _rotated(through, b[None])[0])


def _rotated(head: HeadWeights, rows: Tensor) -> Tensor:
    """Keys stand at position 0: the identity, but for the constant factor of YaRN and longrope."""
    if head.rotate is None:
        return rows
    return head.rotate(rows, torch.zeros(len(rows), dtype=torch.int64, device=rows.device))
