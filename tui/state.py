"""What the user is looking at, as one frozen value, and what has to be computed to show it.

``Selection`` is replaced, never changed; ``needs`` is a pure function from it to an ordered wish list for the engine,
so everything that decides what is computed can be tested without a screen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from .engine.jobs import (
    OV,
    QK,
    Baseline,
    Basis,
    Form,
    HeadInput,
    Job,
    LayerPatterns,
    Measure,
    NextTokens,
    Normalize,
    Open,
    OVRow,
    Pattern,
    PatternKind,
    QKDistance,
    Residual,
    ResidualParts,
    Run,
    Term,
    Tokenize,
    Unit,
    Weights,
    Words,
)
from .results import ModelInfo, ModelKey, Tokens, head_name

View = Literal["pattern", "qk", "ov", "residual"]
VIEWS: tuple[View, ...] = get_args(View)
TITLES: dict[View, str] = {"pattern": "Pattern", "qk": "QK", "ov": "OV", "residual": "Residual"}
Mode = Literal["pattern", "scores", "value-weighted", "all heads"]
MODES: tuple[Mode, ...] = get_args(Mode)

_PART = re.compile(r"L(\d+)(?:H(\d+))?")
DEMO = Open()
EXAMPLE = "The capital of France is"


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

    view: View = "pattern"
    layer: int = 0
    head: int | None = 0
    """None: no head, the direct path."""
    row: int = -1
    """Query position under the cursor (source in OV); negative counts from the end, as does ``col``."""
    col: int = -1
    list_row: int = 0
    list_col: int = 0
    """The cursor in the user's own token list."""
    component: int = 0
    """Row under the cursor in Residual."""

    weights: Weights = "processed"
    mode: Mode = "pattern"
    form: Form = "bilinear"
    normalize: Normalize = "none"
    baseline: Baseline = "shown"
    basis: Basis = "embed"
    offset: int = 0
    term: Term = "token-token"
    measure: Measure = "norm"
    unit: Unit = "head"
    answer: int | None = None
    """Token id; None: the likeliest next token where one is needed."""
    distractor: int | None = None
    answer_text: str = ""
    """What the user typed for them."""
    likeliest: int | None = None
    """The top token after the last position, once it is known: the answer while the user has set none."""
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
        """Whether QK and OV show the user's own token list."""
        return bool(self.words) and self.listed is not None and self.view in ("qk", "ov")

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
    def target(self) -> int | None:
        """The answer that Residual measures: the user's, else the likeliest next token."""
        return self.likeliest if self.answer is None else self.answer

    @property
    def position(self) -> int:
        """Position of the prompt that next tokens and the residual stream speak of."""
        return _clamp(self.row, len(self.tokens) if self.tokens else 0)


def _clamp(index: int, size: int) -> int:
    if index < 0:
        index += size
    return max(0, min(index, size - 1))


def with_cell(s: Selection, row: int, col: int) -> Selection:
    """The cursor on another cell of the shown view; in Residual rows are components and columns positions."""
    if s.view == "residual":
        return replace(s, component=row, row=col)
    if s.on_list:
        return replace(s, list_row=row, list_col=col)
    return replace(s, row=row, col=col)


def cell_in_view(s: Selection) -> tuple[int, int]:
    """(row, column) of the shown grid that the cursor is on: the inverse of ``with_cell``."""
    return (s.component, s.position) if s.view == "residual" else s.cell


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
        "basis": get_args(Basis), "term": get_args(Term), "measure": get_args(Measure), "unit": get_args(Unit),
        "weights": get_args(Weights), "mode": MODES,
    }  # fmt: skip
    return tuple((value, _why_not(s, name, value)) for value in every[name])


def _why_not(s: Selection, name: str, value: str) -> str:
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
    return ""


def cycle(s: Selection, name: str) -> tuple[Selection, str]:
    """The option's next possible value, and a word about a value that had to be passed over ("" if none)."""
    choices = options(s, name)
    values = [value for value, _ in choices]
    start = values.index(getattr(s, name))
    passed = ""
    for step in range(1, len(choices) + 1):
        value, reason = choices[(start + step) % len(choices)]
        if not reason:
            return replace(s, **{name: value}), passed
        passed = passed or reason
    return s, passed


def with_model(s: Selection, opened: Open, model: ModelInfo) -> Selection:
    """The selection on a model that has just been opened: what was chosen by token id of another model is gone."""
    return replace(s, opened=opened, model=model, tokens=None, tokens_of=None, listed=None, listed_of=None,
                   answer=None, distractor=None, answer_text="", likeliest=None)  # fmt: skip


def at_part(s: Selection, name: str) -> Selection:
    """The pattern of the head that a part of the stream names (``L3H1``; ``L3.attn`` keeps the head's number)."""
    match = _PART.match(name)
    if match is None:
        return s
    head = s.head or 0 if match[2] is None else int(match[2])
    return replace(s, layer=int(match[1]), head=head, view="pattern")


def settle(s: Selection) -> Selection:
    """The selection with everything that became impossible put right (head out of range, basis in layer 0)."""
    model = s.model
    if model is None:
        return s
    layer = max(0, min(s.layer, model.n_layers - 1))
    head = None if s.head is None else max(0, min(s.head, model.n_heads - 1))
    s = replace(s, layer=layer, head=head)
    for name in ("basis", "term", "baseline"):
        if any(value == getattr(s, name) and reason for value, reason in options(s, name)):
            s = replace(s, **{name: options(s, name)[0][0]})
    if s.term != "token-token" and s.basis in ("effective", "prompt"):
        s = replace(s, basis="embed")
    return s


def shown(s: Selection) -> Job | None:
    """The job whose result the view draws; None while there is no model or no tokens."""
    run, tokens = run_of(s), s.shown_tokens
    if run is None or tokens is None or s.key is None:
        return None
    if s.view == "pattern":
        if s.head is None or s.mode == "all heads":
            return LayerPatterns(run, s.layer)
        return Pattern(run, s.layer, s.head, _kind(s.mode))
    if s.view == "qk":
        return None if s.head is None else _qk(s, tokens)
    if s.view == "ov":
        return _ov(s, tokens)
    if s.measure == "norm":
        return Residual(run, s.weights)
    return None if s.target is None else Residual(run, s.weights, s.measure, s.target, s.distractor)


def _kind(mode: Mode) -> PatternKind:
    return "pattern" if mode == "all heads" else mode


def _qk(s: Selection, tokens: Tokens, **changes: Any) -> QK:
    assert s.key is not None
    assert s.head is not None
    job = QK(
        s.key, s.layer, s.head, tokens.ids, tokens.ids, s.weights, s.form, s.normalize, s.baseline, s.basis,
        s.offset, s.term, basis_run(s),
    )  # fmt: skip
    return replace(job, **changes) if changes else job


def _ov(s: Selection, tokens: Tokens, **changes: Any) -> OV:
    assert s.key is not None
    job = OV(
        s.key, s.layer, s.head, tokens.ids, tokens.ids, s.weights, s.normalize, s.baseline, s.basis, basis_run(s)
    )
    return replace(job, **changes) if changes else job


def source_row(s: Selection) -> OVRow | None:
    """What the token under the cursor makes the head write: the row's token in OV, the key's elsewhere."""
    tokens = s.shown_tokens
    if tokens is None or s.key is None or not len(tokens):
        return None
    row, col = s.cell
    source = row if s.view == "ov" else col
    run = basis_run(s)
    return OVRow(
        s.key, s.layer, s.head, tokens.ids[source], tuple(dict.fromkeys(tokens.ids)), 10, s.weights, s.basis, run,
        source if run else None,
    )  # fmt: skip


@dataclass(frozen=True)
class CellJobs:
    """The jobs whose values the inspector reads for the cell under the cursor; None where one has no meaning."""

    pattern: Pattern | None = None
    scores: Pattern | None = None
    qk: QK | None = None
    zscore: QK | None = None
    ov: OV | None = None
    ov_row: OVRow | None = None

    def listed(self) -> list[Job]:
        every = (self.pattern, self.scores, self.qk, self.zscore, self.ov, self.ov_row)
        return [job for job in every if job is not None]


def inspected(s: Selection) -> CellJobs:
    """What the inspector line needs: what the weights say and what this prompt did, for the same cell."""
    run, tokens = run_of(s), s.shown_tokens
    if run is None or tokens is None or s.view == "residual":
        return CellJobs()
    pattern = scores = qk = zscore = None
    if s.head is not None:
        if not s.on_list:
            pattern = Pattern(run, s.layer, s.head, "pattern")
            scores = Pattern(run, s.layer, s.head, "scores")
        qk = _qk(s, tokens, normalize="none", baseline="shown", term="token-token")
        baseline: Baseline = "shown" if s.basis == "prompt" else "vocabulary"
        zscore = replace(qk, normalize="zscore", baseline=baseline)
    return CellJobs(pattern, scores, qk, zscore, _ov(s, tokens, normalize="none", baseline="shown"), source_row(s))


def panels(s: Selection) -> tuple[str, ...]:
    """Names of the side panels that this view has, in the order in which ``p`` walks them."""
    if s.view == "pattern":
        return ("next tokens", "head writes")
    if s.view == "qk":
        rotary = s.model is not None and not s.model.capabilities.offset
        return (*(("distance",) if rotary and s.basis != "prompt" else ()), "head writes")
    if s.view == "ov":
        return ("head writes",)
    return ("parts", "query reads", "key reads", "value reads") if s.head is not None else ("parts",)


def panel_name(s: Selection) -> str:
    """The side panel that is open, or ""."""
    names = panels(s)
    return names[s.panel] if s.panel < len(names) else ""


def panel_job(s: Selection) -> Job | None:
    """The job whose result the side panel draws."""
    run, tokens, name = run_of(s), s.shown_tokens, panel_name(s)
    if run is None or tokens is None or s.key is None or not name:
        return None
    if name == "next tokens":
        return NextTokens(run, s.position)
    if name == "head writes":
        return source_row(s)
    if name == "parts":
        return ResidualParts(run, s.position, s.weights, s.unit, s.measure, s.target, s.distractor)
    if s.head is None:
        return None
    if name == "distance":
        row, col = s.cell
        return QKDistance(s.key, s.layer, s.head, tokens.ids[row], tokens.ids[col], s.weights, s.form, s.basis)
    side: Literal["q", "k", "v"] = "q" if name == "query reads" else "k" if name == "key reads" else "v"
    return HeadInput(run, s.layer, s.head, s.position, side, s.weights, s.unit)


def next_tokens(s: Selection) -> NextTokens | None:
    """The predictions after the cursor's position, for the token strip."""
    run = run_of(s)
    return NextTokens(run, s.position) if run else None


def needs(s: Selection, with_panel: bool = True) -> list[Job]:
    """Everything that the screen shows of this selection, most important first, neighbouring heads last."""
    if s.model is None or s.open != s.opened:
        return [s.open]
    wanted: list[Job | None] = []
    tokenize = Tokenize(s.model.key, s.text, s.with_bos)
    if s.tokens_of != tokenize:
        # Nothing else is worth computing for tokens that are about to change; what is on the screen stays there.
        return [tokenize]
    if s.words and s.listed_of != Words(s.model.key, s.words):
        wanted.append(Words(s.model.key, s.words))
    last = next_tokens(replace(s, row=-1))
    wanted += [shown(s), next_tokens(s), last, panel_job(s) if with_panel else None, *inspected(s).listed()]
    return list(dict.fromkeys(job for job in (*wanted, *prefetched(s)) if job is not None))


def prefetched(s: Selection) -> list[Job]:
    """What the neighbouring heads would show: computed in idle time, so that the next head is there at once."""
    if s.model is None or s.head is None:
        return []
    heads = (head for head in (s.head + 1, s.head - 1) if 0 <= head < s.model.n_heads)
    jobs = (shown(replace(s, head=head)) for head in heads)
    return [job for job in jobs if job is not None and job != shown(s)]
