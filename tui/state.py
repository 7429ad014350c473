"""What the user is looking at, as one frozen value.

``Selection`` is replaced, never changed: pure functions make the next one of it, so that all of this can be tested
without a screen. What has to be computed to show it is ``needs``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from .engine.jobs import (
    Baseline,
    Basis,
    Circuit,
    Composed,
    Direction,
    FindTarget,
    Form,
    Grain,
    LensMeasure,
    Normalize,
    Open,
    PreparePrompts,
    PromptRow,
    Prompts,
    Run,
    Target,
    Term,
    Tokenize,
    Unit,
    Weights,
    Words,
)
from .finding import Finding, On
from .results import ModelInfo, ModelKey, Tokens, head_name

View = Literal[
    "pattern", "qk", "ov", "residual", "lens", "attribution", "heads", "compose", "why", "neurons", "pairs", "svd"
]
VIEWS: tuple[View, ...] = get_args(View)
TITLES: dict[View, str] = {
    "pattern": "Pattern", "qk": "QK", "ov": "OV", "residual": "Residual", "lens": "Lens", "attribution": "Attribution",
    "heads": "Heads", "compose": "Compose", "why": "Why", "neurons": "Neurons", "pairs": "Pairs", "svd": "SVD",
}  # fmt: skip
KEYS: dict[View, str] = {
    "pattern": "1", "qk": "2", "ov": "3", "residual": "4", "lens": "5", "attribution": "6",
    "heads": "7", "compose": "8", "why": "W", "neurons": "U", "pairs": "V", "svd": "D",
}  # fmt: skip
Mode = Literal["pattern", "scores", "value-weighted", "all heads", "sources"]
MODES: tuple[Mode, ...] = get_args(Mode)
Flow = Literal["norm", "answer", "states", "final", "writes"]
"""What Residual shows: the length or effect of every write, lengths of the states and their cosine with the final one,
cosines between the writes at one position."""
OVER: tuple[View, ...] = ("pattern", "lens", "attribution")
"""Views that exist as mean and spread over a file of prompts."""

_PART = re.compile(r"L(\d+)(?:H(\d+)|\.\w+)?")
_NEURON = re.compile(r"L(\d+)N(\d+)", re.IGNORECASE)
DEMO, START = Open(), Finding()
EXAMPLE = "The capital of France is"


@dataclass(frozen=True)
class File:
    """A file of prompts that was opened."""

    path: str
    rows: tuple[PromptRow, ...]
    at: int = 0
    """Which of them is in the prompt line."""
    over: bool = True
    """Whether views show the mean over all of them instead of that one."""
    prepared: Prompts | None = None
    """Tokenized; None until the worker has done it."""
    prepared_of: PreparePrompts | None = None
    """The job that ``prepared`` answers."""
    before: File | None = None
    """The file that was open before, until this one is tokenized."""

    @property
    def name(self) -> str:
        """The path's last part, for titles."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Selection:
    """Everything that decides what is on the screen."""

    open: Open = DEMO
    """The model that is asked for."""
    opened: Open | None = None
    """The job that ``model`` answers: another model is being loaded while they differ."""
    model: ModelInfo | None = None
    text: str = EXAMPLE
    bos: bool | None = None
    """None: as the model was trained to expect."""
    tokens: Tokens | None = None
    tokens_of: Tokenize | None = None
    """The job that ``tokens`` answers: another text is being tokenized while they differ."""
    words: str = ""
    """The user's own token list for QK and OV; empty: the prompt's tokens."""
    listed: Tokens | None = None
    listed_of: Words | None = None
    file: File | None = None
    arriving: tuple[int, int] | None = None
    """Row and column to go to when the text's tokens are there; None: the last ones."""

    view: View = "pattern"
    layer: int = 0
    head: int | None = 0
    """None: no head, the direct path."""
    over_cell: tuple[int, int] = (-1, -1)
    """The cursor in Pattern over a file: its positions are not those of the prompt that is typed."""
    row: int = -1
    """Query position under the cursor (source in OV); negative counts from the end, as does ``col``."""
    col: int = -1
    list_row: int = 0
    list_col: int = 0
    """The cursor in the user's own token list."""
    component: int = 0
    """Row under the cursor in Residual, its column where that is a component too."""
    other: int = 0
    state: int = -1
    """Row under the cursor in Lens and among the stream's states; negative counts from the end."""
    column: int = 0
    """Column under the cursor in Attribution; its row is the layer."""
    pair: tuple[int, int] = (0, 0)
    """The cursor in Why: component at the query, component at the key."""
    neuron: tuple[int, int] | None = None
    """Layer and number of the neuron that the user named; None: those that matter most."""
    neuron_row: int = 0
    """Row under the cursor in Neurons."""

    weights: Weights = "processed"
    mode: Mode = "pattern"
    form: Form = "bilinear"
    normalize: Normalize = "none"
    baseline: Baseline = "shown"
    basis: Basis = "embed"
    offset: int = 0
    term: Term = "token-token"
    measure: Flow = "norm"
    unit: Unit = "head"
    lens: LensMeasure = "probability"
    mids: bool = False
    """Whether states between attention and MLP are rows of Lens too."""
    grain: Grain = "head"
    """What Attribution's parts are."""
    statistic: Literal["mean", "spread"] = "mean"
    """What Pattern shows over a file of prompts."""
    chosen: Target | None = None
    """The user's answer and distractor; None: the likeliest next token."""
    answer_text: str = ""
    """What the user typed for them."""
    answer_of_file: bool = False
    """Whether they came with the prompt from a file."""
    likeliest: int | None = None
    """The top token after the last position, once it is known: the answer while the user has set none."""
    likeliest_text: str = ""
    finding: Finding = START
    """Choices of Heads, Compose, the searches and the tree."""
    card: bool = False
    """Whether the card of the selected head is open."""
    panel: int = 0
    """Index into ``panels(view)``; past the end: no side panel."""

    @property
    def key(self) -> ModelKey | None:
        return self.model.key if self.model else None

    @property
    def with_bos(self) -> bool:
        """Whether the prompt gets a BOS: the user's word, else the model's habit."""
        if self.model is None or self.model.bos_id is None:
            return False
        return self.model.bos_default if self.bos is None else self.bos

    @property
    def name(self) -> str:
        """``L1H3``, or ``direct path``."""
        return "direct path" if self.head is None else head_name(self.layer, self.head)

    @property
    def on_list(self) -> bool:
        """Whether QK, OV and the circuits through two heads show the user's own token list."""
        shows = self.view in ("qk", "ov") or self.virtual
        return bool(self.words) and self.listed is not None and shows

    @property
    def virtual(self) -> bool:
        """Whether the circuit through two heads is shown."""
        return self.view == "compose" and self.finding.virtual

    @property
    def shown_tokens(self) -> Tokens | None:
        """The tokens that both axes of Pattern, QK and OV show."""
        return self.listed if self.on_list else self.tokens

    @property
    def cell(self) -> tuple[int, int]:
        """(row, column) under the cursor in ``shown_tokens``, never negative."""
        tokens = self.shown_tokens
        size = len(tokens) if tokens else 0
        row, col = (self.list_row, self.list_col) if self.on_list else (self.row, self.col)
        return _clamp(row, size), _clamp(col, size)

    @property
    def target(self) -> Target | None:
        """What Residual, Lens and Attribution measure: the user's answer, else the likeliest next token."""
        if self.chosen is not None:
            return self.chosen
        return None if self.likeliest is None else Target((self.likeliest,))

    @property
    def position(self) -> int:
        """Position of the prompt that next tokens and the residual stream speak of."""
        return _clamp(self.row, len(self.tokens) if self.tokens else 0)

    @property
    def over(self) -> bool:
        """Whether the view shows a file of prompts instead of one."""
        return self.file is not None and self.file.over and self.view in OVER

    @property
    def states(self) -> tuple[str, ...]:
        """Rows of Lens and names of the stream's states."""
        return state_names(self.model.n_layers, self.mids) if self.model else ()

    @property
    def on_states(self) -> bool:
        """Whether the view's rows are states of the stream."""
        return self.view == "lens" or (self.view == "residual" and self.measure in ("states", "final"))


def _clamp(index: int, size: int) -> int:
    if index < 0:
        index += size
    return max(0, min(index, size - 1))


def state_names(n_layers: int, mids: bool) -> tuple[str, ...]:
    """``L0.pre``, (``L0.mid``,) ``L1.pre``, …, ``L11.post``."""
    kinds = ("pre", "mid") if mids else ("pre",)
    return (*(f"L{layer}.{kind}" for layer in range(n_layers) for kind in kinds), f"L{n_layers - 1}.post")


def with_cell(s: Selection, row: int, col: int) -> Selection:
    """The cursor on another cell of the shown view; what rows and columns are depends on it."""
    if s.on_states:
        return replace(s, state=row) if s.over else replace(s, state=row, row=col)
    if s.view == "residual":
        return replace(s, component=row, other=col) if s.measure == "writes" else replace(s, component=row, row=col)
    if s.over and s.view == "pattern":
        return replace(s, over_cell=(row, col))
    if s.view == "attribution" and s.grain == "neuron":
        return replace(s, neuron_row=row)
    if s.view == "attribution":
        is_head = s.grain == "head" and s.model is not None and col < s.model.n_heads
        return replace(s, layer=row, column=col, head=col if is_head else s.head)
    if s.view == "heads":
        return replace(s, layer=row, head=col)
    if s.view == "compose" and not s.virtual:
        return replace(s, finding=replace(s.finding, other=(row, col)))
    if s.view == "pairs":
        return replace(s, finding=replace(s.finding, pair_row=row))
    if s.view == "why":
        return replace(s, pair=(row, col))
    if s.view == "neurons":
        return replace(s, neuron_row=row, col=col)  # the position stays: it says which neurons are shown
    if s.on_list:
        return replace(s, list_row=row, list_col=col)
    return replace(s, row=row, col=col)


def cell_in_view(s: Selection) -> tuple[int, int]:
    """(row, column) of the shown grid that the cursor is on: the inverse of ``with_cell``."""
    if s.on_states:
        return _clamp(s.state, len(s.states)), s.position
    if s.view == "residual":
        return s.component, s.other if s.measure == "writes" else s.position
    if s.over and s.view == "pattern":
        prompts = s.file.prepared if s.file else None
        size = min((len(run.ids) for run in prompts.runs), default=0) if prompts else 0
        return _clamp(s.over_cell[0], size), _clamp(s.over_cell[1], size)
    if s.view == "attribution" and s.grain == "neuron":
        return s.neuron_row, 0
    if s.view == "attribution":
        on_head = s.grain == "head" and s.head is not None and s.model is not None and s.column < s.model.n_heads
        return s.layer, s.head if on_head and s.head is not None else s.column
    if s.view == "heads":
        return s.layer, s.head or 0
    if s.view == "compose" and not s.virtual:
        return s.finding.other
    if s.view == "pairs":
        return s.finding.pair_row, 0
    if s.view == "why":
        return s.pair
    if s.view == "neurons":
        return s.neuron_row, s.cell[1]
    return s.cell


def with_position(s: Selection, step: int) -> Selection:
    """The next or previous position of the prompt, whatever the view's rows and columns are."""
    count = len(s.tokens) if s.tokens else 0
    return replace(s, row=max(0, min(s.position + step, count - 1))) if count else s


def mlp_row(model: ModelInfo, layer: int) -> int:
    """Row of a layer's MLP in Residual: embed, pos (if learned), then attention and MLP of each layer."""
    return (2 if model.positions == "learned" else 1) + 2 * layer + 1


def run_of(s: Selection) -> Run | None:
    """The forward pass on the typed prompt; None while there is no model or no tokens."""
    if s.key is None or s.tokens is None:
        return None
    return Run(s.key, s.tokens.ids, s.tokens.bos)


def basis_run(s: Selection) -> Run | None:
    """The forward pass behind basis ``prompt``; None for the other bases."""
    return run_of(s) if s.basis == "prompt" else None


def options(s: Selection, name: str) -> tuple[tuple[Any, str], ...]:
    """What an option can be here: ``(value, "")`` if it can, else ``(value, why not)``."""
    every: dict[str, tuple[Any, ...]] = {
        "form": get_args(Form), "normalize": get_args(Normalize), "baseline": get_args(Baseline),
        "basis": get_args(Basis), "term": get_args(Term), "measure": get_args(Flow), "unit": get_args(Unit),
        "weights": get_args(Weights), "mode": MODES, "lens": get_args(LensMeasure), "grain": get_args(Grain),
        "mids": (False, True), "statistic": ("mean", "spread"), "score": s.finding.scores, "on": get_args(On),
        "circuit": get_args(Circuit), "kind": get_args(Composed), "direction": get_args(Direction),
    }  # fmt: skip
    return tuple((value, _why_not(s, name, value)) for value in every[name])


def _why_not(s: Selection, name: str, value: Any) -> str:
    model = s.model
    if model is None:
        return ""
    if name == "basis":
        if value == "effective" and s.layer == 0 and s.head is not None:
            return "basis effective is what heads after MLP 0 read: not for layer 0"
        if value == "effective" and model.capabilities.effective:
            return model.capabilities.effective
        if value == "prompt" and s.on_list:
            return "basis prompt reads the typed prompt: clear the token list (t) first"
        if value in ("effective", "prompt") and s.view == "qk" and s.term != "token-token":
            return "terms with positions exist in the bases embed and normed: press m for token-token first"
        if value == "prompt" and s.head is None:
            return "the direct path has no prompt basis"
    if name == "baseline" and value == "vocabulary" and s.basis == "prompt":
        return "basis prompt knows no vocabulary: its rows are normalised over the shown tokens"
    if name == "term" and value != "token-token" and model.capabilities.position_terms:
        return model.capabilities.position_terms
    if name == "mids" and value:
        return model.capabilities.states_mid
    if name == "grain" and value == "neuron":
        return model.capabilities.neurons
    if name == "on" and value == "file" and (s.file is None or s.file.prepared is None):
        return "no file of prompts is open: O opens one"
    if name == "circuit":
        return model.capabilities.qk if value == "qk" else model.capabilities.ov
    return ""


def option(s: Selection, name: str) -> Any:
    """The value of an option, of the selection or of its ``finding``."""
    return getattr(s if hasattr(s, name) else s.finding, name)


def cycle(s: Selection, name: str) -> tuple[Selection, str]:
    """The option's next possible value, and a word about a value that had to be passed over ("" if none)."""
    choices = options(s, name)
    values = [value for value, _ in choices]
    start = values.index(option(s, name)) if option(s, name) in values else -1
    passed = ""
    for step in range(1, len(choices) + 1):
        value, reason = choices[(start + step) % len(choices)]
        if not reason:
            return _with_option(s, name, value), passed
        passed = passed or reason
    return s, passed


def _with_option(s: Selection, name: str, value: Any) -> Selection:
    """With other rows the cursor stays on the state that it was on, or the one before it."""
    if not hasattr(s, name):
        return replace(s, finding=replace(s.finding, **{name: value}))
    changed = replace(s, **{name: value})
    if name == "mids" and s.states and s.state >= 0:
        here, names = s.states[_clamp(s.state, len(s.states))], changed.states
        place = here if here in names else here.replace(".mid", ".pre")
        changed = replace(changed, state=names.index(place))
    return changed


def with_model(s: Selection, opened: Open, model: ModelInfo) -> Selection:
    """The selection on a model that has just been opened: what was chosen by token id of another model is gone."""
    file = replace(s.file, prepared=None, prepared_of=None) if s.file else None
    found = replace(s.finding, pairs=None, pairs_text="", other=(0, 0), pair_row=0, singular=0)
    if found.score not in found.scores:
        found = replace(found, score=START.score)
    return replace(s, opened=opened, model=model, tokens=None, tokens_of=None, listed=None, listed_of=None, file=file,
                   finding=found, chosen=None, answer_text="", likeliest=None, likeliest_text="")  # fmt: skip


def with_file(s: Selection, path: str, rows: tuple[PromptRow, ...]) -> Selection:
    """A file of prompts has been opened: its first prompt is typed, and views that can show all of them do."""
    before = replace(s.file, before=None) if s.file and s.file.prepared else None
    return at_prompt(replace(s, file=File(path, rows, before=before)), 0)


def at_prompt(s: Selection, index: int) -> Selection:
    """Another prompt of the file in the prompt line, with the file's answer for it."""
    assert s.file is not None
    index %= len(s.file.rows)
    row = s.file.rows[index]
    return _with_own_answer(replace(s, text=row.text, file=replace(s.file, at=index), arriving=None))


def prepared(s: Selection, job: PreparePrompts, prompts: Prompts) -> Selection:
    """The worker has tokenized the file."""
    assert s.file is not None
    return _with_own_answer(replace(s, file=replace(s.file, prepared=prompts, prepared_of=job, before=None)))


def _with_own_answer(s: Selection) -> Selection:
    """The file's answer for the prompt that is typed, where it has one; else the user's own, else the likeliest, but
    never that of another prompt of the file."""
    file = s.file
    if file is None or file.prepared is None or s.text != file.rows[file.at].text:
        return s
    own = file.prepared.targets[file.at]
    if own is not None:
        return replace(s, chosen=own, answer_text=answer_words(file.rows[file.at]), answer_of_file=True)
    return replace(s, chosen=None, answer_text="", answer_of_file=False) if s.answer_of_file else s


def answer_words(row: PromptRow) -> str:
    """A row's answer and distractor as the user would have typed them."""
    return f"{row.answer} - {row.distractor}" if row.distractor else row.answer


def at_part(s: Selection, name: str) -> Selection:
    """Where a part of the stream leads: a head's pattern (``L3H1``; ``L3.attn`` keeps the head's number), a layer's
    neurons (``L3.mlp``), one neuron (``L3N17``)."""
    if neuron := _NEURON.fullmatch(name):
        return replace(s, layer=int(neuron[1]), view="neurons", neuron=(int(neuron[1]), int(neuron[2])), neuron_row=0)
    match = _PART.fullmatch(name)
    if match is None or not leads_on(name):
        return s
    if name.endswith(".mlp"):
        return replace(s, layer=int(match[1]), view="neurons", neuron=None, neuron_row=0)
    head = s.head or 0 if match[2] is None else int(match[2])
    mode: Mode = "pattern" if s.mode == "all heads" else s.mode
    return replace(s, layer=int(match[1]), head=head, view="pattern", mode=mode)


def leads_on(name: str) -> bool:
    """Whether a part is a head or an MLP, so that there is more of it to see."""
    return _PART.fullmatch(name) is not None and not name.endswith(".bias")


def neuron_of(text: str) -> tuple[int, int] | None:
    """``L3N17`` → (3, 17)."""
    match = _NEURON.fullmatch(text.strip())
    return (int(match[1]), int(match[2])) if match else None


def settle(s: Selection) -> Selection:
    """The selection with everything that became impossible put right (head out of range, basis in layer 0)."""
    model = s.model
    if model is None:
        return s
    layer = max(0, min(s.layer, model.n_layers - 1))
    head = None if s.head is None else max(0, min(s.head, model.n_heads - 1))
    if s.neuron is not None and not (s.neuron[0] == layer and 0 <= s.neuron[1] < model.d_mlp):
        s = replace(s, neuron=None)
    s = replace(s, layer=layer, head=head)
    for name in ("basis", "term", "baseline", "mids", "grain"):
        if any(value == getattr(s, name) and reason for value, reason in options(s, name)):
            s = replace(s, **{name: options(s, name)[0][0]})
    if s.term != "token-token" and s.basis in ("effective", "prompt"):
        s = replace(s, basis="embed")
    if s.basis == "prompt" and s.view in ("pairs", "heads"):
        s = replace(s, basis="embed")  # a search is over the vocabulary
    return s


def target_job(s: Selection, text: str) -> FindTarget | None:
    """The job that looks up an answer that was typed."""
    return FindTarget(s.key, text) if s.key else None
