"""The worker's side: job type → function of ``circuits``, on the one model that is open.

Imported by the worker thread alone (and by the headless export): it brings torch and transformer_lens with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ..circuits.errors import Refusal
from ..memory import give_back
from ..models.live import LiveModel
from ..models.opening import boot, open_model
from ..models.unloaded import StoredModel
from ..results import ModelInfo, ModelKey
from . import (
    ablations,
    attributions,
    changes,
    compose,
    continuing,
    directions,
    effects,
    experts,
    faithful,
    heads,
    jobs,
    keys,
    lenses,
    many,
    neurons,
    opened,
    patched_pairs,
    patching,
    paths,
    prepared,
    references,
    scores,
    search,
    spectra,
    stacks,
    states,
    streams,
    targets,
    vocabulary,
    wiring,
)
from .bench import Context
from .jobs import Boot, Job, Open, Opening, parts
from .opened import OpenModel

ANSWERS: dict[type[Job], Callable[[Any, OpenModel, Context], Any]] = {
    jobs.AblationTable: ablations.ablation_table,
    jobs.AllComposition: compose.all_composition,
    parts.AllowedTokens: vocabulary.allowed_tokens,
    jobs.Attribution: attributions.attribution,
    jobs.AttributionOver: many.attribution_over,
    jobs.CircuitScores: faithful.circuit_scores,
    jobs.Composition: compose.composition,
    jobs.Contexts: many.contexts,
    jobs.Continuation: continuing.continuation,
    jobs.CopyingScores: scores.copying_scores,
    jobs.CircuitComposition: wiring.circuit_composition,
    jobs.CircuitPaths: wiring.circuit_paths,
    jobs.Directions: directions.directions,
    jobs.Effects: effects.effects,
    parts.EndsProduct: scores.ends_product,
    jobs.Experts: experts.experts,
    jobs.FindPairs: search.find_pairs,
    jobs.FindTarget: targets.find_target,
    parts.Forward: changes.forward,
    parts.HeadCopying: scores.head_copying,
    jobs.HeadInput: streams.head_input,
    jobs.HeadScores: scores.head_scores,
    parts.HeadSum: heads.head_sum,
    parts.KeyMoments: keys.key_moments,
    jobs.LayerPatterns: heads.layer_patterns,
    jobs.Lens: lenses.lens,
    jobs.LensCurve: lenses.lens_curve,
    jobs.LensOver: many.lens_over,
    parts.LensState: lenses.lens_state,
    jobs.LensTop: lenses.lens_top,
    parts.MomentsBlock: keys.moments_block,
    jobs.Nearest: vocabulary.nearest,
    jobs.Neurons: neurons.neurons,
    jobs.NeuronTokens: neurons.neuron_tokens,
    jobs.NextTokens: streams.next_tokens,
    jobs.OV: heads.ov,
    jobs.OVRow: heads.ov_row,
    jobs.PairBlock: search.pair_block,
    jobs.PairRows: search.pair_rows,
    jobs.PairSearch: search.pair_search,
    jobs.Partners: vocabulary.partners,
    jobs.PatchedCells: patching.patched_cells,
    jobs.PatchedPair: patched_pairs.one_pair,
    jobs.PatchingEstimate: patching.estimate,
    jobs.PatchingGrid: patching.sweep,
    jobs.PatchingOver: patched_pairs.over,
    jobs.PathEdges: paths.path_edges,
    jobs.PathEstimate: paths.path_estimate,
    jobs.PathGrid: paths.path_grid,
    jobs.Pattern: heads.pattern,
    jobs.PatternOver: many.pattern_over,
    parts.PatternSums: scores.pattern_sums,
    jobs.PreparePrompts: prepared.prepare_prompts,
    jobs.QK: heads.qk,
    jobs.QKDistance: heads.qk_distance,
    parts.Rank: heads.rank,
    jobs.ReadPrompts: many.read_prompts,
    jobs.Recorded: patching.recorded,
    jobs.ReferenceMoments: references.reference_moments,
    jobs.Residual: streams.residual_grid,
    jobs.ResidualParts: streams.residual_parts,
    jobs.ScoreParts: attributions.score_parts,
    jobs.SingularTokens: spectra.singular_tokens,
    jobs.SourceRow: attributions.source_row,
    jobs.Sources: attributions.sources,
    jobs.Spectrum: spectra.spectrum,
    jobs.StackEffect: stacks.stack_effect,
    jobs.Stream: states.stream,
    parts.StreamMoments: keys.stream_moments,
    jobs.Tokenize: opened.tokenize,
    jobs.TopPairs: vocabulary.top_pairs,
    jobs.VirtualOV: compose.virtual_ov,
    jobs.VirtualQK: compose.virtual_qk,
    parts.VocabularyKeys: keys.vocabulary_keys,
    parts.VocabularySide: vocabulary.vocabulary_side,
    jobs.Words: opened.words,
    jobs.WriteCosines: states.write_cosines,
}


READ_LOGITS: tuple[type[Job], ...] = (
    jobs.AblationTable, jobs.Attribution, jobs.AttributionOver, jobs.CircuitScores, jobs.Continuation, jobs.FindTarget,
    jobs.Lens, jobs.LensCurve, jobs.LensOver, jobs.LensTop, jobs.NextTokens, jobs.PatchedCells, jobs.PatchedPair,
    jobs.PatchingEstimate, jobs.PatchingGrid, jobs.PatchingOver, jobs.PathEdges, jobs.PathEstimate, jobs.PathGrid,
    jobs.StackEffect,
)  # fmt: skip
"""Jobs that read the model's outputs, which a model without a head has not; those that read ``W_U`` ask for it."""


class Bench(OpenModel):
    """Where jobs are answered: one thread makes it, uses it and closes it."""

    def __init__(self) -> None:
        super().__init__()
        self._before: tuple[Open, ModelKey] | None = None
        """The model that was opened last, and how."""
        self._held = 0
        """Bytes of the weights that are here."""
        self._away = False
        """Whether the model before has made room for one that is not here yet."""

    def compute(self, job: Job, ctx: Context) -> Any:
        """The value of a job. Errors that a person can act on have ``message`` and ``hint``."""
        # Per thread, and entered anew for each job: no_grad alone still records versions of every tensor.
        with torch.inference_mode():
            return self._answer(job, ctx)

    def _answer(self, job: Job, ctx: Context) -> Any:
        if isinstance(job, Open):
            return self._open(job, ctx)
        run = getattr(job, "run", None)
        self._expect(getattr(job, "model", None) if run is None else run.model, ctx)
        if isinstance(job, READ_LOGITS):
            self.need("outputs")
        if run is not None and isinstance(self.live, StoredModel):
            self.live.tell(ctx.progress)
        return ANSWERS[type(job)](job, self, ctx)

    def _open(self, job: Open, ctx: Context) -> ModelInfo:
        """What can be known of the new model without its weights is known while the old one is there; then the old one
        goes, so that there is room. Where the new one fails even so, the old one is opened again for who asks of it.
        Behind the files of a model the whole of it is loaded beside what was read of them, to be compared."""

        def read(done: int, total: int) -> None:
            ctx.progress("MB of weights", done // 10**6, total // 10**6)

        options = job.source, job.device, job.dtype, job.threads
        live: LiveModel | StoredModel
        if isinstance(job, Boot):
            if not isinstance(self.live, StoredModel):
                return self.info
            live = boot(self.live, *options, ctx.progress, ctx.check, read)
            self.close()
        else:
            placing = job.device_map, job.max_memory
            live = open_model(*options, job.how, ctx.progress, ctx.check, self._make_room, self._held, read, *placing)
        self.take(live)
        self._before, self._held, self._away = (job, live.info.key), live.nbytes, False
        return live.info

    def adopt(self, key: ModelKey) -> None:
        """Call the open model by another key, of the same files at another place."""
        self.live.describe(replace(self.info, key=key))
        if self._before is not None:
            self._before = (self._before[0], key)

    @property
    def is_open(self) -> bool:
        """Whether a model is there: the one before may have made room for one that did not come."""
        return self._before is not None and not self._away

    def _make_room(self) -> None:
        self._held, self._away = 0, True
        self.close()
        give_back()  # a model is full of cycles, and the engine collects none while one opens

    def _expect(self, key: ModelKey | None, ctx: Context) -> None:
        if self._away and self._before is not None and key == self._before[1]:
            self._open_again(*self._before, ctx)
        if key is not None and key != self.info.key:
            raise Refusal("That model is not the one that is open.", "Open it again.")

    def _open_again(self, job: Open, key: ModelKey, ctx: Context) -> None:
        how: Opening = "load" if isinstance(job, Boot) else job.how
        options = job.source, job.device, job.dtype, job.threads, how, job.device_map, job.max_memory
        self._open(Open(*options), ctx)
        if replace(key, apart="") == self.info.key:  # loaded at once there is nothing that it differs from
            self.live.describe(replace(self.info, key=key))
