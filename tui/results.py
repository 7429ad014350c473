"""What every job gives and every view, export and test reads.

Plain values in numpy: nothing here knows torch, Textual or plotext. They cross from the worker thread to the
screen, so they are frozen and their arrays are read-only. ``eq=False`` because Textual compares reactive values
with ``!=``, which raises on arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from .text import in_order

if TYPE_CHECKING:
    import numpy as np
else:
    from .later import numpy as np

Scalar = str | int | float | bool | None
Limits = tuple[float, float]
"""Least and most that a quantity can be; around zero they are equally far from it."""
FROM_FILES = "from files"
"""``ModelInfo.source`` of a model whose files are read while it is not loaded yet."""
WEIGHTS_ONLY = "weights only"
"""The same, of one that is never run."""
FAINT = 0.1
"""A score up to here is next to nothing."""


@dataclass(frozen=True)
class ModelKey:
    """Which weights, exactly, and how they are run: the part of every job's cache key that names the model."""

    folder: str
    """Absolute folder that the weights were read from."""
    fingerprint: str
    """Digest of names, sizes and times of the folder's files: weights replaced on disk are another model."""
    dtype: str
    """``float32``, ``bfloat16`` or ``float16``."""
    device: str
    """``cpu``, ``cuda:0``, ``mps``."""
    apart: str = ""
    """How far the loaded model is from what its files gave first, where that is more than rounding: results of the two
    are not each other's."""


@dataclass(frozen=True)
class Capabilities:
    """Which views this model can have. An empty string: offered; else the sentence that says why not.

    Found by running the model on a few tokens at load, not read from its config (definitions.md, `facts.md`).
    """

    pattern: str = ""
    """Attention pattern as the model computed it."""
    scores: str = ""
    """Attention scores rebuilt from q and k, and their softmax equal to the pattern."""
    qk: str = ""
    """``W_E W_QK W_Eᵀ`` from the weights."""
    ov: str = ""
    """``W_E W_OV W_U`` from the weights."""
    residual: str = ""
    """The stream as a sum of what components write, per head."""
    position_terms: str = ""
    """QK split in token and position terms: learned positions only."""
    offset: str = ""
    """QK at a rotary offset: rotary positions only."""
    effective: str = ""
    """Basis ``effective`` (embedding after MLP 0)."""
    states_mid: str = ""
    """States between attention and MLP: blocks that are not parallel only."""
    neurons: str = ""
    """MLP outputs as a sum over neurons."""
    plain: str = ""
    """The forward pass from plain tensors gives the model's own logits and patterns; else interventions run through
    hooks."""
    pattern_edit: str = ""
    """Editing a pattern changes the output: interventions on it through hooks."""
    outputs: str = ""
    """Logits: the model has an unembedding."""
    one_vocabulary: str = ""
    """Outputs are the input tokens: copying, pair search in OV, a next token that can be appended."""


@dataclass(frozen=True, eq=False)
class ModelInfo:
    """What the screen needs to know of a loaded model: result of ``Open``."""

    key: ModelKey
    name: str
    """Short name for the status line, such as ``demo`` or ``gpt2``."""
    architecture: str
    n_layers: int
    n_heads: int
    n_key_value_heads: int
    d_model: int
    d_head: int
    d_vocab: int
    n_ctx: int
    n_parameters: int
    positions: str
    """``learned``, ``shortformer`` (learned, but read by queries and keys alone), ``rotary``, ``alibi`` or ``none``."""
    norm: str
    """``LayerNorm``, ``RMSNorm`` or ``none``."""
    has_mlp: bool
    parallel_blocks: bool
    bos_id: int | None
    bos_default: bool
    """Whether the model was trained to expect a BOS."""
    capabilities: Capabilities
    checks: Mapping[str, float] = field(default_factory=dict)
    """Self-check at load: name → error (max|error| / max|value|)."""
    d_mlp: int = 0
    """Neurons of one layer's MLP; 0 where there are none to show."""
    n_experts: int = 0
    """Experts of one layer's MLP whose sum is what it writes; 0 where MLPs are no mixtures."""
    classes: tuple[str, ...] = ()
    """Names of the outputs in order of their ids, where they are classes of their own; empty: they are the tokens."""
    notes: tuple[str, ...] = ()
    """Sentences worth showing once, such as ``no tokenizer: prompts are typed as token ids``."""
    no_chat: str = ""
    """Why a prompt cannot be a message of a chat; empty: the tokenizer has a chat template."""
    vocabulary: str = ""
    """Digest of a thousand tokens spread over the vocabulary, and of its size: that of another model with the same."""
    steps: tuple[tuple[str, str], ...] = ()
    """The training steps of the run that it is one of, first to last: a name and what opens it; empty where it is by
    itself."""
    step: int = 0
    """Which of ``steps`` it is."""
    embedding_norm: bool = False
    """Whether ``W_E`` is shown behind a norm of its own, as it enters the stream (Bloom)."""
    bidirectional: bool = False
    """Whether queries see the keys after them too."""
    source: str = ""
    """Where the numbers come from, where that is not the loaded model: ``from files``, ``weights only``, …"""


@dataclass(frozen=True)
class Tokens:
    """A token list: a prompt or the words that a user listed. Result of ``Tokenize`` and ``Words``."""

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    """Each token as it reads in the text, with its space; bytes of an incomplete character as ``<0xE2>``."""
    special: tuple[bool, ...]
    bos: bool
    """Whether a BOS was asked for: ``ids[0]`` is one, that was prepended or that the text brought."""
    bos_from: str = ""
    """Who brought the BOS at ``ids[0]`` where nobody had to prepend it: ``text`` (it is typed), ``tokenizer`` or (chat)
    ``template``."""
    chat: bool = False
    """Whether the prompt is a user's message in the model's chat template."""
    template: tuple[bool, ...] = ()
    """In a chat: which tokens are the template's. Empty elsewhere."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def told_apart(self) -> tuple[str, ...]:
        """The texts, where bytes of one character share it: ``東₁ 東₂ 東₃``."""
        return in_order(self.texts)


@dataclass(frozen=True, eq=False)
class Header:
    """What a number means: shown beside it, exported with it."""

    view: str
    """Name of the export view: ``pattern``, ``scores``, ``qk``, ``ov``, ``residual``, ``tokens``, …"""
    quantity: str
    """One noun phrase: ``QK circuit, bilinear``."""
    formula: str
    unit: str = ""
    head: str | None = None
    """``L10H2``, or ``L10`` for a whole layer."""
    explanation: str = ""
    """One line of words for the screen: ``row = query, column = key: how much …``."""
    convention: Mapping[str, Scalar] = field(default_factory=dict)
    """bos, weights, dtype, device, and the options in force: form, normalize, baseline, basis, offset, term, …"""
    checks: Mapping[str, float] = field(default_factory=dict)
    """Name of an identity → its largest error on the numbers shown."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Further facts in words, such as ``rank of W_QK → 32 of 128``."""
    partial: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis of a Grid: name and labels (raw token texts; views make them safe to print)."""

    name: str
    labels: tuple[str, ...]
    ids: tuple[int, ...] | None = None
    """Token ids where the labels are tokens. None elsewhere: a class's id is its place."""

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def told_apart(self) -> tuple[str, ...]:
        """The labels, where bytes of one character share it: ``東₁ 東₂ 東₃``."""
        return self.labels if self.ids is None else in_order(self.labels)


@dataclass(frozen=True, eq=False)
class Grid:
    """A matrix with labels."""

    header: Header
    values: np.ndarray
    """``[len(rows), len(cols)]`` float32, read-only; masked cells hold NaN."""
    rows: Axis
    cols: Axis
    diverging: bool
    """True: values around zero, symmetric colour scale. False: magnitude from 0 (or the minimum) up."""
    text: tuple[tuple[str, ...], ...] | None = None
    """Optional text layer, one string a cell (logit lens)."""
    limits: Limits | None = None
    """Ends of the colour scale where the quantity has them (a share: 0 and 1); None: those of the values."""
    column_limits: tuple[Limits | None, ...] = ()
    """The same for each column, where the columns are quantities of their own; empty: none of them has any."""
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Other quantities of the same cells, by name: as ``values``, not drawn."""

    @property
    def mask(self) -> np.ndarray:
        """``[rows, cols]`` bool: True where there is a number to show."""
        shown: np.ndarray = ~np.isnan(self.values)
        return shown

    def limits_of(self, column: int) -> Limits | None:
        """The ends of one column's scale."""
        return self.column_limits[column] if self.column_limits else self.limits


@dataclass(frozen=True, eq=False)
class Gallery:
    """Small Grids side by side: the patterns of all heads of a layer."""

    header: Header
    grids: tuple[Grid, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """Ranked rows with named columns. ``label`` columns are text, the others numbers."""

    header: Header
    columns: tuple[str, ...]
    rows: tuple[tuple[Scalar, ...], ...]
    bar: str | None = None
    """Name of the numeric column that is drawn as bars."""
    limits: Limits | None = None
    """Ends of the bars' scale where that column has them; None: those of its values."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One or more series over a shared x."""

    header: Header
    x_name: str
    y_name: str
    x: np.ndarray
    series: Mapping[str, np.ndarray]


class Link(NamedTuple):
    """The edges between two nodes of a Graph."""

    sender: int
    receiver: int
    effects: tuple[tuple[str, float | None], ...]
    """The side that receives (``q``, ``k``, ``v``, or "") → its effect, the strongest first; None: not known."""

    @property
    def effect(self) -> float | None:
        """The strongest."""
        return self.effects[0][1]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in the model's order, and what goes from one to a later one: the shape in which a table of edges is
    drawn."""

    header: Header
    nodes: tuple[str, ...]
    links: tuple[Link, ...]
    unit: str
    """What an effect is: ``recovered``, ``z``."""


@dataclass(frozen=True)
class Split:
    """A word that is several tokens, for the user to pick one: the answer of ``FindTarget`` where it has none."""

    word: str
    with_space: Tokens
    """The word as it goes on a text, after a blank."""
    without: Tokens
    """The word as it goes on a text without one: in a new line, after a bracket."""

    @property
    def offered(self) -> tuple[Piece, ...]:
        """What there is to pick from, first as the word goes on a text; no token twice, and no lone blank."""
        pieces: dict[int, Piece] = {}
        for tokens, spaced in ((self.with_space, True), (self.without, False)):
            for place, (token, text) in enumerate(zip(tokens.ids, tokens.texts, strict=True), 1):
                if text.strip(" "):
                    pieces.setdefault(token, Piece(token, text, place, tokens, spaced))
        return tuple(pieces.values())

    @property
    def problem(self) -> tuple[str, str]:
        """Where nobody can be asked to pick: what is wrong with the word, and a step that works."""

        def listed(tokens: Tokens) -> str:
            return " ".join(f'"{text}"' for text in tokens.texts)

        sentence = f'"{self.word}" is {len(self.with_space)} tokens: {listed(self.with_space)}'
        if self.without.ids != self.with_space.ids:
            sentence += f" (without the blank before it: {listed(self.without)})"
        if not self.offered:
            return f"{sentence}.", "Write a word that is one token."
        first = self.offered[0]
        return f"{sentence}.", f'Write a word that is one token, or a token\'s id: #{first.token} is "{first.text}".'


@dataclass(frozen=True)
class Piece:
    """One token of a word that is several."""

    token: int
    text: str
    place: int
    """Counted from 1 in ``whole``."""
    whole: Tokens
    """The word's tokens."""
    spaced: bool
    """Whether the word stands after a blank there."""


@dataclass(frozen=True)
class Found:
    """The tokens (or output classes) of a target: the answer of ``FindTarget``."""

    answers: Tokens
    distractors: Tokens
    label: str = ""
    """The target in words: ``·her − ·h``, ``·Paris, ·Rome``, ``"9" vs "2"``, ``class 1 − class 0``."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of tokens to search heads for: the answer of ``FindPairs``."""

    ids: tuple[tuple[int, int], ...]
    texts: tuple[tuple[str, str], ...]


Result = Grid | Gallery | Table | Curve | Graph | Tokens | ModelInfo


def head_name(layer: int, head: int | None = None) -> str:
    """``L10H2``, or ``L10`` without a head."""
    return f"L{layer}" if head is None else f"L{layer}H{head}"


def none_above(grid: Grid) -> str:
    """``no head above 0.1`` where that holds of heads' scores that have limits, all of them there; else empty."""
    known = grid.values[np.isfinite(grid.values)]
    if grid.limits is None or grid.header.partial or not known.size or np.abs(known).max() > np.float32(FAINT):
        return ""
    return f"no head above {FAINT}" if grid.limits[0] >= 0 else f"no head beyond ±{FAINT}"


def frozen(values: np.ndarray) -> np.ndarray:
    """A float32 array that nobody can write to, safe to share between threads."""
    out: np.ndarray = np.ascontiguousarray(values, dtype=np.float32)
    if out is values:
        out = out.copy()
    out.flags.writeable = False
    return out
