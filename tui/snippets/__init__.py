"""Python code that computes what a view shows, with TransformerLens, torch and transformers alone: for a notebook, or
to check the numbers against.

Each kind of job has a writer. The code opens the same model, has the same token ids in it, and leaves ``result`` as an
array like the view's: tests run the code of every page and compare. What no code is written for says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..declared import Say
from ..engine import jobs
from ..results import FROM_FILES, WEIGHTS_ONLY
from ..selection import Selection
from . import circuits, heads, runs, streams
from .changes import changed
from .parts import Code, No, code

WRITERS: Mapping[str, Callable[[Any], Code | No]] = {
    "Pattern": streams.pattern, "LayerPatterns": streams.layer_patterns, "Residual": streams.residual,
    "Stream": streams.states, "WriteCosines": streams.write_cosines, "Lens": streams.lens,
    "Attribution": streams.attribution, "Sources": streams.sources, "ScoreParts": streams.score_parts,
    "Neurons": streams.neurons, "QK": circuits.qk, "OV": circuits.ov, "VirtualQK": circuits.virtual_qk,
    "VirtualOV": circuits.virtual_ov, "Spectrum": circuits.spectrum, "TopPairs": circuits.top_pairs,
    "PairSearch": circuits.pair_search, "CopyingScores": heads.copying, "HeadScores": heads.scores,
    "Composition": heads.composition, "CircuitComposition": heads.circuit_composition,
    "PatchingGrid": runs.patching, "Effects": runs.effects, "PathGrid": runs.paths,
}  # fmt: skip
"""Name of a job's class → what writes its code."""
CHECKED: Mapping[str, tuple[str, ...]] = {
    "GPT2LMHeadModel": (),
    "GPTNeoXForCausalLM": (),
    "LlamaForCausalLM": (),
    "MixtralForCausalLM": (),
    "Qwen2ForCausalLM": (),
    "StableLmForCausalLM": (),
    "FalconForCausalLM": ("effective",),
    "PhiForCausalLM": ("effective",),
    "GPTJForCausalLM": ("effective", "scores"),
    "OlmoForCausalLM": ("copying", "value-weighted"),
    "Phi3ForCausalLM": ("copying",),
    "MistralForCausalLM": ("pattern", "scores", "value-weighted", "all heads", "sources", "prompt"),
}
"""Architectures whose code was compared with the views, and what of each is not sound (``_kinds``): there, and in other
architectures, TransformerLens has masks, scales or norms elsewhere."""
_CHECKPOINT = "this is a checkpoint of HookedTransformer's own, which TransformerBridge does not open by its folder"


def snippet(s: Selection, job: jobs.Job) -> str | Say:
    """The code for what a job gives, or why there is none."""
    if why := _refused(s, job):
        return Say(why)
    made = WRITERS[type(job).__name__](job)
    if isinstance(made, No):
        return Say(made.why)
    hooks = changed(jobs.interventions_of(job), made.processed)
    return Say(hooks.why) if isinstance(hooks, No) else code(s, made, hooks)


def _refused(s: Selection, job: jobs.Job) -> str:
    model = s.model
    if model is None:
        return "no model is there yet"
    if model.source in (FROM_FILES, WEIGHTS_ONLY) and s.open.how in ("weights", "stream"):
        return "the model was read from its files alone, and TransformerLens loads it as a whole"
    if s.open.device_map:
        return "the model lies on several devices: open it on one"
    if model.architecture == "TransformerLens":
        return _CHECKPOINT
    if isinstance(job, jobs.CircuitPaths):
        return "there is code for paths to one receiver, in Paths (Y), and for the composition of the circuit's heads"
    if type(job).__name__ not in WRITERS:
        over = hasattr(job, "prompts") or hasattr(job, "pairs")
        where = "over a file of prompts" if over else "of this view"
        return f"there is no code {where} yet: s is the shell command, e a file of the numbers"
    if model.architecture not in CHECKED:
        known = ", ".join(name.removesuffix("ForCausalLM").removesuffix("LMHeadModel") for name in CHECKED)
        return f"the code is checked for {known}, not for {model.architecture}: s is the shell command"
    if other := sorted({*CHECKED[model.architecture]} & _kinds(job)):
        return f"TransformerLens has “{other[0]}” otherwise for {model.architecture}: s is the shell command"
    if model.positions != "learned" and isinstance(job, jobs.ScoreParts):
        return f"positions are {model.positions}, which turn the parts of a score: s is the shell command"
    if model.positions != "learned" and getattr(job, "basis", "") == "prompt":
        return f"positions are {model.positions}, which the basis prompt has in it: b chooses another basis"
    return ""


def _kinds(job: jobs.Job) -> set[str]:
    """What a job is of that TransformerLens computes otherwise for some architecture."""
    kinds = {"Sources": "sources", "CopyingScores": "copying", "LayerPatterns": "all heads", "ScoreParts": "scores"}
    made = {kinds.get(type(job).__name__, ""), getattr(job, "basis", "")}
    made |= {job.kind} if isinstance(job, jobs.Pattern) else set()
    made |= {"scores"} if getattr(job, "form", "") == "scaled" else set()  # divided by what scores are
    cut = any(isinstance(change, jobs.CutEdge) for change in jobs.interventions_of(job))
    return made | ({"pattern", "scores"} if cut else set())
