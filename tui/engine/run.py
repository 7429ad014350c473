"""The worker's side: job type → function of ``circuits``, on the one model that is open.

Imported by the worker thread alone (and by the headless export): it brings torch and transformer_lens with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..circuits.errors import Refusal
from ..models.load import load
from ..results import ModelInfo, ModelKey
from . import (
    attributions,
    compose,
    directions,
    heads,
    keys,
    lenses,
    many,
    neurons,
    opened,
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
    Forward: opened.forward,
    HeadCopying: scores.head_copying,
    HeadInput: streams.head_input,
    HeadScores: scores.head_scores,
    HeadSum: heads.head_sum,
    KeyMoments: keys.key_moments,
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
    Rank: heads.rank,
    Residual: streams.residual_grid,
    ResidualParts: streams.residual_parts,
    ScoreParts: attributions.score_parts,
    SingularTokens: spectra.singular_tokens,
    SourceRow: attributions.source_row,
    Sources: attributions.sources,
    Spectrum: spectra.spectrum,
    Stream: states.stream,
    StreamMoments: keys.stream_moments,
    Tokenize: opened.tokenize,
    TopPairs: vocabulary.top_pairs,
    VirtualOV: compose.virtual_ov,
    VirtualQK: compose.virtual_qk,
    VocabularyKeys: keys.vocabulary_keys,
    VocabularySide: vocabulary.vocabulary_side,
    Words: opened.words,
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
        self._expect(getattr(job, "model", None) if run is None else run.model)
        return ANSWERS[type(job)](job, self, ctx)

    def _open(self, job: Open, ctx: Context) -> ModelInfo:
        """The new model is loaded beside the old one, which goes only when the new one works."""
        live = load(job.source, job.device, job.dtype, job.threads, ctx.progress, ctx.check)
        self.close()
        self._live = live
        return live.info

    def _expect(self, key: ModelKey | None) -> None:
        if key is not None and key != self.info.key:
            raise Refusal("That model is not the one that is open.", "Open it again.")
