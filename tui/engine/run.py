"""The worker's side: job type → function of ``circuits``, on the one model that is open.

Imported by the worker thread alone (and by the headless export): it brings torch and transformer_lens with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from ..circuits import basis, fold, qk
from ..circuits.errors import Refusal
from ..circuits.pattern import head_sum_errors
from ..circuits.tensors import Ends, HeadWeights, Norm, Trace
from ..models.live import LiveModel
from ..models.load import load
from ..results import Axis, ModelInfo, ModelKey, Result, head_name
from . import answers, streams
from .jobs import (
    OV,
    QK,
    HeadInput,
    Job,
    LayerPatterns,
    NextTokens,
    Open,
    OVRow,
    Pattern,
    QKDistance,
    Residual,
    ResidualParts,
    Run,
    Tokenize,
    Weights,
    Words,
)
from .parts import Forward, HeadSum, KeyMoments, Rank, StreamMoments, VocabularyKeys

KEPT = 64 << 20
"""Bytes of patterns up to which one forward pass keeps those of all layers."""
LAID_OUT = 1 << 30
"""Bytes up to which ``W_U`` is copied into the layout that is fast to multiply with."""
PRODUCTS = 10**11
"""Multiplications up to which a CPU makes the moments of a vocabulary over d_model; beyond, a head's own keys."""


class Context(Protocol):
    """What a computation may ask of whoever runs it: the engine, or the export in place."""

    def get(self, job: Job) -> Any:
        """The value of another job, cached or computed now."""

    def check(self) -> None:
        """Raise if nobody waits for this any more."""

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say how far this is."""

    def partial(self, result: Result) -> None:
        """Show what there is so far."""


class Bench:
    """The open model and what is derived from it once: one thread makes it, uses it and closes it."""

    def __init__(self) -> None:
        self._live: LiveModel | None = None
        self._ends: Ends | None = None
        self._W_U: Tensor | None = None
        # One head has several jobs in a row (QK, its z, OV, the row): fold it once. 0.8 MB a head of GPT-2.
        self._folded = lru_cache(maxsize=32)(lambda layer, head: fold.fold_head(self.live.head(layer, head)))
        self._unembeddings: dict[Weights, fold.Unembedding] = {}

    def compute(self, job: Job, ctx: Context) -> Any:
        """The value of a job. Errors that a person can act on have ``message`` and ``hint``."""
        # Per thread, and entered anew for each job: no_grad alone still records versions of every tensor.
        with torch.inference_mode():
            return self._answer(job, ctx)

    def close(self) -> None:
        """Let go of the model."""
        if self._live is not None:
            self._live.close()
        self._live, self._ends = None, None
        self.free()

    def free(self) -> None:
        """Give back what can be had again."""
        self._unembeddings.clear()
        self._W_U = None
        self._folded.cache_clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _answer(self, job: Job, ctx: Context) -> Any:
        if isinstance(job, Open):
            return self._open(job, ctx)
        run = getattr(job, "run", None)
        keys = job.keys if isinstance(job, KeyMoments) else job
        self._expect(run.model if run is not None else getattr(keys, "model", None))
        match job:
            case Tokenize():
                return self.live.tokens.encode(job.text, job.bos)
            case Words():
                return self.live.tokens.words(job.text, job.kind)
            case NextTokens():
                return streams.next_tokens(job, self, ctx)
            case Pattern():
                return answers.pattern(job, self, ctx)
            case LayerPatterns():
                return answers.layer_patterns(job, self, ctx)
            case QK():
                return answers.qk(job, self, ctx)
            case QKDistance():
                return answers.qk_distance(job, self, ctx)
            case OV():
                return answers.ov(job, self, ctx)
            case OVRow():
                return answers.ov_row(job, self, ctx)
            case Residual():
                return streams.residual_grid(job, self, ctx)
            case ResidualParts():
                return streams.residual_parts(job, self, ctx)
            case HeadInput():
                return streams.head_input(job, self, ctx)
            case _:
                return self._part(job, ctx)

    def _part(self, job: Job, ctx: Context) -> Any:
        match job:
            case Forward():
                return self._forward(job, ctx)
            case HeadSum():
                return head_sum_errors(self.writers(job.layer), self.trace(job.run, job.layer, ctx), job.layer)
            case Rank():
                head = self.head(job.layer, job.head, job.weights)
                return qk.rank(head.W_Q, head.W_K) if job.circuit == "QK" else qk.rank(head.W_V, head.W_O.mT)
            case StreamMoments():
                norm = fold.bare(self.live.head(0, 0).norm)
                return qk.moments(self._vocabulary(job.basis, norm, False, "moments of the vocabulary", ctx))
            case VocabularyKeys():
                head = self.head(job.layer, job.head, job.weights)
                stage = f"keys of the vocabulary, {head_name(job.layer, job.head)}"
                processed = job.weights == "processed"
                return qk.vocabulary_keys(head, self._vocabulary(job.basis, head.norm, processed, stage, ctx), job.form)
            case KeyMoments():
                return self._key_moments(job.keys, ctx)
        raise TypeError(f"no such job: {job!r}")

    def _open(self, job: Open, ctx: Context) -> ModelInfo:
        """The new model is loaded beside the old one, which goes only when the new one works."""
        live = load(job.source, job.device, job.dtype, job.threads, ctx.progress, ctx.check)
        self.close()
        self._live = live
        return live.info

    def _expect(self, key: ModelKey | None) -> None:
        if key is not None and key != self.info.key:
            raise Refusal("That model is not the one that is open.", "Open it again.")

    # What answers are made from.

    @property
    def live(self) -> LiveModel:
        if self._live is None:
            raise Refusal("No model is open.", "Open one first.")
        return self._live

    @property
    def info(self) -> ModelInfo:
        return self.live.info

    @property
    def ends(self) -> Ends:
        if self._ends is None:
            self._ends = self.live.ends
        return self._ends

    def need(self, capability: str) -> None:
        """Refuse, with the reason found at load, what this model does not have."""
        reason = getattr(self.info.capabilities, capability)
        if reason:
            raise Refusal(reason)

    def head(self, layer: int, head: int, weights: Weights) -> HeadWeights:
        info = self.info
        if not (0 <= layer < info.n_layers and 0 <= head < info.n_heads):
            last = head_name(info.n_layers - 1, info.n_heads - 1)
            raise Refusal(f"{head_name(layer, head)} does not exist: the heads of {info.name} are L0H0 to {last}.")
        return self._folded(layer, head) if weights == "processed" else self.live.head(layer, head)

    def writers(self, layer: int) -> Sequence[Tensor]:
        """Every head's ``W_O [d_head, d_model]`` of a layer, as stored."""
        return [self.live.head(layer, head).W_O for head in range(self.info.n_heads)]

    def unembedding(self, weights: Weights) -> fold.Unembedding:
        if weights not in self._unembeddings:
            if self._W_U is None:
                # An embedding that is used at both ends is stored by token. By d_model one full row is twice as
                # fast on a CPU (9 ms instead of 17 on GPT-2), for one copy of W_U.
                stored = self.ends.W_U
                small = stored.device.type == "cpu" and stored.nbytes <= LAID_OUT
                self._W_U = stored.contiguous() if small else stored
            ends = replace(self.ends, W_U=self._W_U)
            self._unembeddings[weights] = fold.unembedding(ends, weights == "processed")
        return self._unembeddings[weights]

    def final_norm(self, weights: Weights) -> Norm:
        norm = self.ends.final_norm
        return fold.bare(norm) if weights == "processed" else norm

    def trace(self, run: Run, layer: int | None, ctx: Context) -> Trace:
        """The forward pass, with the layer's pattern if one is named."""
        self.index(run.ids)
        if layer is not None and not 0 <= layer < self.info.n_layers:
            raise Refusal(f"Layer {layer} does not exist: {self.info.name} has {self.info.n_layers} layers.")
        trace: Trace = ctx.get(Forward(run, None if self._keeps_all(run) else layer))
        return trace

    def _keeps_all(self, run: Run) -> bool:
        return self.info.n_layers * self.info.n_heads * len(run.ids) ** 2 * 4 <= KEPT

    def _forward(self, job: Forward, ctx: Context) -> Trace:
        layers: tuple[int, ...] = tuple(range(self.info.n_layers)) if self._keeps_all(job.run) else ()
        if job.layer is not None:
            layers = (job.layer,)
        if job.run.interventions:
            raise Refusal("Interventions are not offered yet.")
        ctx.progress("forward pass")
        return self.live.trace(job.run.ids, layers, ctx.check)

    def _vocabulary(self, name: str, norm: Norm, processed: bool, stage: str, ctx: Context) -> Any:
        return basis.vocabulary(
            self.ends, name, norm, processed, ctx.check, lambda done, total: ctx.progress(stage, done, total)
        )

    def _key_moments(self, keys: VocabularyKeys, ctx: Context) -> qk.Moments:
        """From the vocabulary's moments through the head's weights where that is exact and affordable, else from keys.

        A head then costs d_model² · d_head products instead of d_vocab · d_model · d_head: 4 ms instead of 150 on
        GPT-2. The stored norm's w and b go into the weights first, so all heads share the moments of one basis.
        """
        stored = self.live.head(keys.layer, keys.head)
        cheap = self.ends.W_E.is_cuda or len(self.ends.W_E) * self.info.d_model**2 <= PRODUCTS
        if stored.k_norm is not None or not cheap:
            k = ctx.get(keys)
            return qk.moments(k[start : start + basis.BLOCK] for start in range(0, len(k), basis.BLOCK))
        through = fold.fold_head(stored) if keys.weights == "processed" or keys.basis != "embed" else stored
        b = through.b_K
        if keys.form == "bilinear":
            # Only what the norm's own b adds on the way: part of x with raw weights, left out with processed ones.
            raw_b = keys.weights == "raw" and keys.basis != "embed"
            b = b - stored.b_K if raw_b else torch.zeros_like(b)
        W = through.W_K if through.rotate is None else _rotated(through, through.W_K)
        b = b if through.rotate is None else _rotated(through, b[None])[0]
        whole: qk.Moments = ctx.get(StreamMoments(keys.model, keys.basis))
        return whole.through(W, b)

    def index(self, ids: Sequence[int]) -> Tensor:
        """Token ids as an index; refuses what is not in the vocabulary."""
        outside = [i for i in ids if not 0 <= i < self.info.d_vocab]
        if outside:
            raise Refusal(f"Token id {outside[0]} is not in the vocabulary (0 to {self.info.d_vocab - 1}).")
        return basis.as_index(tuple(ids), self.ends.W_E)

    def texts(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each token as it reads in a text."""
        return self.live.tokens.named(ids).texts

    def axis(self, name: str, ids: tuple[int, ...] | None) -> Axis:
        """An axis of tokens; None: the whole vocabulary."""
        if ids is None:
            return Axis(name, self.live.tokens.all_texts, tuple(range(self.info.d_vocab)))
        return Axis(name, self.texts(ids), ids)

    def positions(self, name: str, count: int) -> Axis:
        return Axis(f"{name} position", tuple(map(str, range(count))))


def _rotated(head: HeadWeights, rows: Tensor) -> Tensor:
    """Keys stand at position 0: the identity, but for the constant factor of YaRN and longrope."""
    assert head.rotate is not None
    return head.rotate(rows, torch.zeros(len(rows), dtype=torch.int64, device=rows.device))
