"""Everything that can be asked: frozen, hashable values, each its own cache key.

Nothing here computes, and nothing of ours is imported but ``results``: a screen, an export or a test builds jobs
without torch. A job names everything its result depends on (token ids, not text; the intervention stack even while
it is empty), so equal jobs have equal results and a cache needs no other key.

One module a subject: ``kinds`` (values without a job), ``base`` (model, forward pass, tokens, targets), ``head``,
``stream``, ``many`` prompts, ``finding`` heads and tokens, ``changes`` of a forward pass and their ``effects``,
``parts`` that these share on the way to their results. A name is looked up when it is used (``jobs.Lens``): dataclasses
take a tenth of a second to make, which the first paint need not wait for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Boot as Boot
    from .base import Change as Change
    from .base import FindTarget as FindTarget
    from .base import Job as Job
    from .base import Open as Open
    from .base import Run as Run
    from .base import Target as Target
    from .base import Tokenize as Tokenize
    from .base import Words as Words
    from .changes import FOLDED as FOLDED
    from .changes import MOST_TOKENS as MOST_TOKENS
    from .changes import TOGETHER as TOGETHER
    from .changes import Ablation as Ablation
    from .changes import AddVector as AddVector
    from .changes import Continuation as Continuation
    from .changes import CutEdge as CutEdge
    from .changes import Patch as Patch
    from .changes import ReferenceMoments as ReferenceMoments
    from .changes import StackEffect as StackEffect
    from .changes import SteeringDirection as SteeringDirection
    from .changes import Unchanged as Unchanged
    from .changes import bound as bound
    from .circuit import CircuitComposition as CircuitComposition
    from .circuit import CircuitPaths as CircuitPaths
    from .circuit import CircuitScores as CircuitScores
    from .effects import AblationTable as AblationTable
    from .effects import Effects as Effects
    from .finding import AllComposition as AllComposition
    from .finding import Composition as Composition
    from .finding import CopyingScores as CopyingScores
    from .finding import FindPairs as FindPairs
    from .finding import HeadScores as HeadScores
    from .finding import Nearest as Nearest
    from .finding import PairBlock as PairBlock
    from .finding import PairRows as PairRows
    from .finding import PairSearch as PairSearch
    from .finding import Partners as Partners
    from .finding import SingularTokens as SingularTokens
    from .finding import Spectrum as Spectrum
    from .finding import TopPairs as TopPairs
    from .finding import VirtualOV as VirtualOV
    from .finding import VirtualQK as VirtualQK
    from .head import OV as OV
    from .head import QK as QK
    from .head import LayerPatterns as LayerPatterns
    from .head import OVRow as OVRow
    from .head import Pattern as Pattern
    from .head import QKDistance as QKDistance
    from .kinds import METRIC_WORDS as METRIC_WORDS
    from .kinds import METRICS as METRICS
    from .kinds import Baseline as Baseline
    from .kinds import Basis as Basis
    from .kinds import By as By
    from .kinds import Circuit as Circuit
    from .kinds import Composed as Composed
    from .kinds import Cut as Cut
    from .kinds import Direction as Direction
    from .kinds import Ends as Ends
    from .kinds import ExpertMeasure as ExpertMeasure
    from .kinds import Form as Form
    from .kinds import Grain as Grain
    from .kinds import HeadAt as HeadAt
    from .kinds import How as How
    from .kinds import LensMeasure as LensMeasure
    from .kinds import ListKind as ListKind
    from .kinds import Measure as Measure
    from .kinds import Metric as Metric
    from .kinds import Normalize as Normalize
    from .kinds import Opening as Opening
    from .kinds import PartnerSide as PartnerSide
    from .kinds import PatternKind as PatternKind
    from .kinds import Repeats as Repeats
    from .kinds import Side as Side
    from .kinds import Site as Site
    from .kinds import Span as Span
    from .kinds import StreamMeasure as StreamMeasure
    from .kinds import StreamUnit as StreamUnit
    from .kinds import Term as Term
    from .kinds import TokenFilter as TokenFilter
    from .kinds import Toward as Toward
    from .kinds import Unit as Unit
    from .kinds import Variant as Variant
    from .kinds import Weights as Weights
    from .kinds import metric_named as metric_named
    from .many import AttributionOver as AttributionOver
    from .many import Contexts as Contexts
    from .many import LensOver as LensOver
    from .many import OverPrompts as OverPrompts
    from .many import PatternOver as PatternOver
    from .many import PreparePrompts as PreparePrompts
    from .many import PromptRow as PromptRow
    from .many import Prompts as Prompts
    from .many import ReadPrompts as ReadPrompts
    from .many import interventions_of as interventions_of
    from .patching import PatchedCells as PatchedCells
    from .patching import PatchedPair as PatchedPair
    from .patching import Patching as Patching
    from .patching import PatchingEstimate as PatchingEstimate
    from .patching import PatchingGrid as PatchingGrid
    from .patching import PatchingOver as PatchingOver
    from .patching import Recorded as Recorded
    from .paths import PathEdges as PathEdges
    from .paths import PathEstimate as PathEstimate
    from .paths import PathGrid as PathGrid
    from .stream import Attribution as Attribution
    from .stream import Directions as Directions
    from .stream import Experts as Experts
    from .stream import HeadInput as HeadInput
    from .stream import Lens as Lens
    from .stream import LensCurve as LensCurve
    from .stream import LensTop as LensTop
    from .stream import Neurons as Neurons
    from .stream import NeuronTokens as NeuronTokens
    from .stream import NextTokens as NextTokens
    from .stream import PartWrite as PartWrite
    from .stream import Residual as Residual
    from .stream import ResidualParts as ResidualParts
    from .stream import ScoreParts as ScoreParts
    from .stream import SourceRow as SourceRow
    from .stream import Sources as Sources
    from .stream import SourceWrite as SourceWrite
    from .stream import StateAt as StateAt
    from .stream import Stream as Stream
    from .stream import Vector as Vector
    from .stream import WriteCosines as WriteCosines

_MODULES = (
    "kinds", "base", "parts", "head", "stream", "finding", "many", "changes", "effects", "patching", "paths", "circuit",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for module in _MODULES:
            value = vars(import_module(f"{__name__}.{module}")).get(name)
            if value is not None:
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
