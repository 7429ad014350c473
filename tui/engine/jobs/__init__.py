"""Everything that can be asked: frozen, hashable values, each its own cache key.

Nothing here computes, and nothing of ours is imported but ``results``: a screen, an export or a test builds jobs
without torch. A job names everything its result depends on (token ids, not text; the intervention stack even while
it is empty), so equal jobs have equal results and a cache needs no other key.

One module a subject: ``base`` (model, forward pass, tokens, targets), ``head``, ``stream``, ``many`` prompts,
``finding`` heads and tokens, ``parts`` that these share on the way to their results.
"""

from __future__ import annotations

from .base import Basis as Basis
from .base import FindTarget as FindTarget
from .base import Form as Form
from .base import Job as Job
from .base import ListKind as ListKind
from .base import Open as Open
from .base import Run as Run
from .base import Target as Target
from .base import Tokenize as Tokenize
from .base import Unit as Unit
from .base import Weights as Weights
from .base import Words as Words
from .finding import AllComposition as AllComposition
from .finding import Circuit as Circuit
from .finding import Composed as Composed
from .finding import Composition as Composition
from .finding import CopyingScores as CopyingScores
from .finding import Direction as Direction
from .finding import Ends as Ends
from .finding import FindPairs as FindPairs
from .finding import HeadAt as HeadAt
from .finding import HeadScores as HeadScores
from .finding import Nearest as Nearest
from .finding import PairSearch as PairSearch
from .finding import Partners as Partners
from .finding import Repeats as Repeats
from .finding import SingularTokens as SingularTokens
from .finding import Spectrum as Spectrum
from .finding import TokenFilter as TokenFilter
from .finding import TopPairs as TopPairs
from .finding import VirtualOV as VirtualOV
from .finding import VirtualQK as VirtualQK
from .head import OV as OV
from .head import QK as QK
from .head import Baseline as Baseline
from .head import LayerPatterns as LayerPatterns
from .head import Normalize as Normalize
from .head import OVRow as OVRow
from .head import Pattern as Pattern
from .head import PatternKind as PatternKind
from .head import QKDistance as QKDistance
from .head import Term as Term
from .many import AttributionOver as AttributionOver
from .many import Contexts as Contexts
from .many import LensOver as LensOver
from .many import PatternOver as PatternOver
from .many import PreparePrompts as PreparePrompts
from .many import PromptRow as PromptRow
from .many import Prompts as Prompts
from .parts import PartnerSide as PartnerSide
from .stream import Attribution as Attribution
from .stream import Directions as Directions
from .stream import Grain as Grain
from .stream import HeadInput as HeadInput
from .stream import Lens as Lens
from .stream import LensCurve as LensCurve
from .stream import LensMeasure as LensMeasure
from .stream import LensTop as LensTop
from .stream import Measure as Measure
from .stream import Neurons as Neurons
from .stream import NeuronTokens as NeuronTokens
from .stream import NextTokens as NextTokens
from .stream import PartWrite as PartWrite
from .stream import Residual as Residual
from .stream import ResidualParts as ResidualParts
from .stream import ScoreParts as ScoreParts
from .stream import Side as Side
from .stream import SourceRow as SourceRow
from .stream import Sources as Sources
from .stream import SourceWrite as SourceWrite
from .stream import StateAt as StateAt
from .stream import Stream as Stream
from .stream import StreamMeasure as StreamMeasure
from .stream import Vector as Vector
from .stream import WriteCosines as WriteCosines
