"""The worker's side: job type → function of ``circuits``, on the one model that is open.

Imported by the worker thread alone (and by the headless export): it brings torch and transformer_lens with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..circuits import basis, fold, qk
from ..circuits.errors import Refusal
from ..circuits.pattern import head_sum_errors
from ..circuits.tensors import HeadWeights, Norm, Trace
from ..models.load import load
from ..results import ModelInfo, ModelKey, head_name
from . import (
    attributions,
    compose,
    directions,
    heads,
    lenses,
    many,
    neurons,
    scores,
    search,
    spectra,
    states,
    streams,
    targets,
    vocabulary,
)
from .jobs import (
    OV,
    QK,
    AllComposition,
    Attribution,
    AttributionOver,
    Composition,
    Contexts,
    CopyingScores,
    Directions,
    FindPairs,
    FindTarget,
    HeadInput,
    HeadScores,
    Job,
    LayerPatterns,
    Lens,
    LensCurve,
    LensOver,
    LensTop,
    Nearest,
    Neurons,
    NeuronTokens,
    NextTokens,
    Open,
    OVRow,
    PairSearch,
    Partners,
    Pattern,
    PatternOver,
    PreparePrompts,
    QKDistance,
    Residual,
    ResidualParts,
    ScoreParts,
    SingularTokens,
    SourceRow,
    Sources,
    Spectrum,
    Stream,
    Tokenize,
    TopPairs,
    VirtualOV,
    VirtualQK,
    Words,
    WriteCosines,
)
from .opened import Context, OpenModel
from .parts import (
    AllowedTokens,
    EndsProduct,
    Forward,
    HeadCopying,
    HeadSum,
    KeyMoments,
    LensState,
    PatternSums,
    Rank,
    StreamMoments,
    VocabularyKeys,
    VocabularySide,
)

PRODUCTS = 10**11
"""Multiplications up to which a CPU makes the moments of a vocabulary over d_model; beyond, a head's own keys."""

ANSWERS: dict[type[Job], Callable[[Any, OpenModel, Context], Any]] = {
    AllComposition: compose.all_composition,
    AllowedTokens: vocabulary.allowed_tokens,
    Attribution: attributions.attribution,
    AttributionOver: many.attribution_over,
    Composition: compose.composition,
    Contexts: many.contexts,
    CopyingScores: scores.copying_scores,
    Directions: directions.directions,
    EndsProduct: scores.ends_product,
    FindPairs: search.find_pairs,
    FindTarget: targets.find_target,
    HeadCopying: scores.head_copying,
    HeadInput: streams.head_input,
    HeadScores: scores.head_scores,
    LayerPatterns: heads.layer_patterns,
    Lens: lenses.lens,
    LensCurve: lenses.lens_curve,
    LensOver: many.lens_over,
    LensState: lenses.lens_state,
    LensTop: lenses.lens_top,
    Nearest: vocabulary.nearest,
    Neurons: neurons.neurons,
    NeuronTokens: neurons.neuron_tokens,
    NextTokens: streams.next_tokens,
    OV: heads.ov,
    OVRow: heads.ov_row,
    PairSearch: search.pair_search,
    Partners: vocabulary.partners,
    Pattern: heads.pattern,
    PatternOver: many.pattern_over,
    PatternSums: scores.pattern_sums,
    PreparePrompts: many.prepare_prompts,
    QK: heads.qk,
    QKDistance: heads.qk_distance,
    Residual: streams.residual_grid,
    ResidualParts: streams.residual_parts,
    ScoreParts: attributions.score_parts,
    SingularTokens: spectra.singular_tokens,
    SourceRow: attributions.source_row,
    Sources: attributions.sources,
    Spectrum: spectra.spectrum,
    Stream: states.stream,
    TopPairs: vocabulary.top_pairs,
    VirtualOV: compose.virtual_ov,
    VirtualQK: compose.virtual_qk,
    VocabularySide: vocabulary.vocabulary_side,
    WriteCosines: states.write_cosines,
}


class Bench(OpenModel):
    """Where jobs are answered: one thread makes it, uses it and closes it."""

    def compute(self, job: Job, ctx: Context) -> Any:
        """The value of a job. Errors that a person can act on have ``message`` and ``hint``."""
        # Per thread, and entered anew for each job: no_grad alone still records versions of every tensor.
        with torch.inference_mode():
            return self._answer(job, ctx)

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
        answer = ANSWERS.get(type(job))
        return self._part(job, ctx) if answer is None else answer(job, self, ctx)

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

    def _forward(self, job: Forward, ctx: Context) -> Trace:
        layers: tuple[int, ...] = tuple(range(self.info.n_layers)) if self.keeps_all(job.run) else ()
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


def _rotated(head: HeadWeights, rows: Tensor) -> Tensor:
    """Keys stand at position 0: the identity, but for the constant factor of YaRN and longrope."""
    assert head.rotate is not None
    return head.rotate(rows, torch.zeros(len(rows), dtype=torch.int64, device=rows.device))
