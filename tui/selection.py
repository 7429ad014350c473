"""What the user is looking at, as one frozen value: what all pages share, and each page's own choices as its *looks*.

``Selection`` is replaced, never changed. What has to be computed to show it is ``needs``; what keys make of it
``moves``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, TypeVar

from .engine import jobs
from .names import state_names
from .results import ModelInfo, ModelKey, Tokens, head_name
from .training import rekeyed, same_run

DEMO = jobs.Open()
EXAMPLE = "The capital of France is"
Contrast = Literal["changed", "clean", "difference"]
Base = Literal["base"]
PanelShown = Literal["auto", "open", "closed"]
"""The side panel: open where there is room for it, also in the picture's place, or not at all."""


@dataclass(frozen=True)
class Look:
    """Choices that some page keeps for itself, each with its default. Pages that share choices share a look."""

    travels: ClassVar[bool] = True
    """Whether back and forward restore it: it says which place is shown, not how."""
    passing: ClassVar[tuple[str, ...]] = ()
    """Fields that are no choice: where the cursor is, what is marked, and what is in ``found``. Undo leaves them so."""
    found: ClassVar[tuple[str, ...]] = ()
    """Fields that the worker filled in: found anew, never kept."""

    def settled(self, s: Selection) -> Self:
        """With everything put right that this model, layer or file does not allow."""
        return self

    def remark(self, before: Self, s: Selection) -> str:
        """What the picture does not tell of a change to it; "" where it does."""
        return ""

    def for_model(self) -> Self:
        """For another model: what was chosen by token id is gone."""
        return self

    def at_head(self) -> Self:
        """For a head that was chosen by name: the cursor is on it."""
        return self


L = TypeVar("L", bound=Look)


@dataclass(frozen=True)
class File:
    """A file of prompts that was opened."""

    path: str
    rows: tuple[jobs.PromptRow, ...]
    at: int = 0
    """Which of them is in the prompt line."""
    over: bool = True
    """Whether pages show the mean over all of them instead of that one."""
    prepared: jobs.Prompts | None = None
    """Tokenized; None until the worker has done it."""
    prepared_of: jobs.PreparePrompts | None = None
    """The job that ``prepared`` answers."""
    before: File | None = None
    """The file that was open before, until this one is tokenized."""
    fields: str = ""
    """What its keys mean, as typed: ``prompt=text``."""
    notes: tuple[str, ...] = ()
    """What is in it and was not read."""
    typed: str = ""
    """The prompt that was typed before the file: it comes back when the file closes, as does ``pair``."""
    pair: Pair | None = None

    @property
    def name(self) -> str:
        """The path's last part, for titles."""
        return self.path.rpartition("/")[2]

    @property
    def pairs(self) -> bool:
        """Whether each prompt has another one, for patching."""
        return bool(self.rows[0].corrupted)

    @property
    def count(self) -> str:
        """``2 prompts``."""
        return f"{len(self.rows)} {'pair' if self.pairs else 'prompt'}{'s' if len(self.rows) != 1 else ''}"


@dataclass(frozen=True)
class Answer:
    """The answer and distractor that somebody chose."""

    target: jobs.Target
    text: str
    """As it was typed."""
    label: str = ""
    """As it is shown: ``·Paris − ·Berlin``."""
    of_file: bool = False
    """Whether it came with the prompt from a file."""
    sides: tuple[str, str] = ("", "")
    """Of a pair's other prompt: answer and distractor in words, each by itself."""


@dataclass(frozen=True)
class Likeliest:
    """The top token after the last position: the answer while the user has set none."""

    token: int
    text: str


@dataclass(frozen=True)
class Entry:
    """An intervention of the stack."""

    change: jobs.Change
    on: bool = True


@dataclass(frozen=True)
class Pair:
    """The other prompt: with the one in the prompt line, the clean one, a pair for patching."""

    text: str
    tokens: Tokens | None = None
    tokens_of: jobs.Tokenize | None = None
    """The job that ``tokens`` answers."""
    likeliest: Likeliest | None = None
    """The top token after it: the distractor while the user has set no answer."""
    answer: Answer | None = None
    """The answer of this prompt, and its distractor, where somebody gave them."""
    before: Pair | None = None
    """The pair that was there, until this one is tokenized."""


@dataclass(frozen=True)
class Selection:
    """Everything that decides what is on the screen."""

    open: jobs.Open = DEMO
    """The model that is asked for."""
    opened: jobs.Open | None = None
    """The job that ``model`` answers: another model is being loaded while they differ."""
    model: ModelInfo | None = None
    text: str = EXAMPLE
    bos: bool | None = None
    """None: as the model was trained to expect."""
    chat: bool = False
    """Whether prompts are user's messages in the model's chat template."""
    tokens: Tokens | None = None
    tokens_of: jobs.Tokenize | None = None
    """The job that ``tokens`` answers: another text is being tokenized while they differ."""
    file: File | None = None
    arriving: tuple[int, int] | None = None
    """Row and column to go to when the text's tokens are there; None: the last ones."""
    pair: Pair | None = None
    """The corrupted prompt that goes with the prompt."""
    answer: Answer | None = None
    """The user's answer and distractor; None: the likeliest next token."""
    likeliest: Likeliest | None = None
    weights: jobs.Weights = "processed"
    stack: tuple[Entry, ...] = ()
    """Interventions, in order."""
    contrast: Contrast | Base = "changed"
    """Whether results are those of the changed model, of the clean one, or the difference of the two."""

    page: str = "pattern"
    layer: int = 0
    head: int | None = 0
    """None: no head, the direct path."""
    steps: tuple[int, int] = (0, 0)
    """Layers and heads to step when the model is there."""
    row: int = -1
    """Query position under the cursor (source in OV); negative counts from the end, as does ``col``."""
    col: int = -1
    panel: str = ""
    """The side panel that was chosen; the page's first where it has none of that name."""
    panel_shown: PanelShown = "auto"
    looks: tuple[Look, ...] = ()
    """Choices that are not at their defaults, one a type."""

    def look(self, kind: type[L]) -> L:
        """The choices of that type."""
        return next((look for look in self.looks if type(look) is kind), None) or kind()

    def put(self, *looks: Look, **shared: Any) -> Selection:
        """With other looks, and other values of what is shared."""
        kept = {type(look): look for look in (*self.looks, *looks)}
        # In one order and without defaults, so that equal selections are equal.
        stored = sorted((k for k in kept.values() if k != type(k)()), key=lambda look: type(look).__name__)
        return replace(self, looks=tuple(stored), **shared)

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
    def run(self) -> jobs.Run | None:
        """The forward pass on the prompt, interventions included; None while there is no model or no tokens."""
        if self.key is None or self.tokens is None:
            return None
        return jobs.Run(self.key, self.tokens.ids, self.tokens.bos, self.in_force)

    @property
    def prompts(self) -> jobs.Prompts | None:
        """The open file, interventions included; None while there is none or it is not tokenized."""
        prepared = self.file.prepared if self.file is not None else None
        return prepared and replace(prepared, changes=self.in_force)

    @property
    def in_force(self) -> tuple[jobs.Change, ...]:
        """What is changed in the model whose results are shown."""
        if self.contrast == "clean" or not self.changes:
            return ()
        return (jobs.Unchanged(self.changes),) if self.contrast == "base" else self.changes

    @property
    def changes(self) -> tuple[jobs.Change, ...]:
        """The interventions that are switched on."""
        return tuple(entry.change for entry in self.stack if entry.on)

    @property
    def changed(self) -> Selection:
        """On the changed model."""
        return replace(self, contrast="changed")

    @property
    def clean(self) -> Selection:
        """On the model as it is."""
        return replace(self, contrast="clean")

    @property
    def base(self) -> Selection:
        """What differences are taken from: the model as it is, run as the changed one is, so that what did not change
        differs by nothing, not by rounding."""
        return replace(self, contrast="base")

    @property
    def corrupted(self) -> jobs.Run | None:
        """The forward pass on the other prompt, with nothing changed in it."""
        if self.key is None or self.pair is None or self.pair.tokens is None:
            return None
        return jobs.Run(self.key, self.pair.tokens.ids, self.pair.tokens.bos)

    @property
    def target(self) -> jobs.Target | None:
        """What Residual, Lens and Attribution measure: the user's answer, else the likeliest next token."""
        if self.answer is not None:
            return self.answer.target
        return None if self.likeliest is None else jobs.Target((self.likeliest.token,))

    @property
    def position(self) -> int:
        """Position of the prompt that next tokens and the residual stream speak of."""
        return clamp(self.row, len(self.tokens) if self.tokens else 0)

    @property
    def prompt_cell(self) -> tuple[int, int]:
        """(row, column) of the prompt's tokens under the cursor, never negative."""
        return self.position, clamp(self.col, len(self.tokens) if self.tokens else 0)

    @property
    def rotary_offset(self) -> bool:
        """Whether QK can be taken at a rotary distance."""
        return self.model is not None and not self.model.capabilities.offset

    def states(self, mids: bool) -> tuple[str, ...]:
        """Names of the stream's states; ``mids``: those between attention and MLP too."""
        return state_names(self.model.n_layers, mids) if self.model else ()


def clamp(index: int, size: int) -> int:
    """An index that may count from the end, within ``size``; 0 where there is nothing."""
    if index < 0:
        index += size
    return max(0, min(index, size - 1))


def settle(s: Selection) -> Selection:
    """The selection with everything that became impossible put right (head out of range, basis in layer 0)."""
    model = s.model
    if model is None:
        return s
    layer = max(0, min(s.layer, model.n_layers - 1))
    head = None if s.head is None else max(0, min(s.head, model.n_heads - 1))
    s = replace(s, layer=layer, head=head, contrast=s.contrast if s.stack else "changed")
    return s.put(*(look.settled(s) for look in s.looks))


def with_model(s: Selection, opened: jobs.Open, model: ModelInfo) -> Selection:
    """The selection on a model that has just been opened: what was chosen by token id of another model is gone, but for
    that of another step of one training run."""
    file = replace(s.file, prepared=None, prepared_of=None) if s.file else None
    if s.model is not None and same_run(s.model, model):
        old, new = s.model.key, model.key
        looks, stack = rekeyed(s.looks, old, new), rekeyed(s.stack, old, new)
        pair = s.pair and replace(s.pair, likeliest=None)
        return settle(replace(s, opened=opened, model=model, looks=looks, stack=stack, file=file, pair=pair,
                              likeliest=None, arriving=(s.row, s.col)))  # fmt: skip
    s = s.put(*(look.for_model() for look in s.looks), opened=opened, model=model, tokens=None, tokens_of=None,
                 file=file, answer=None, likeliest=None, stack=(), pair=s.pair and Pair(s.pair.text),
                 chat=s.chat and not model.no_chat)  # fmt: skip
    s, (layers, heads) = settle(s), s.steps
    layer, head = (s.layer + layers) % model.n_layers, s.head if s.head is None else (s.head + heads) % model.n_heads
    return replace(s, steps=(0, 0), layer=layer, head=head)


def with_file(s: Selection, file: File) -> Selection:
    """A file of prompts has been opened: its first prompt is analysed, and pages that can show all of them do."""
    before = replace(s.file, before=None) if s.file and s.file.prepared else None
    typed, pair = (s.file.typed, s.file.pair) if s.file else (s.text, s.pair)
    return at_prompt(replace(s, file=replace(file, before=before, typed=typed, pair=pair), pair=pair), 0)


def on_head(s: Selection, layer: int, head: int) -> Selection:
    """A head that was chosen by name."""
    return s.put(*(look.at_head() for look in s.looks), layer=layer, head=head)


def without_file(s: Selection) -> Selection:
    """The file is closed: the prompt that was typed before it is back, and its answer is not the file's."""
    if s.file is None:
        return s
    answer = None if s.answer is not None and s.answer.of_file else s.answer
    typed = s.file.typed if s.text == s.file.rows[s.file.at].text else s.text  # it was edited since
    pair = s.file.pair if _of_file(s) else s.pair
    return replace(s, text=typed, file=None, answer=answer, arriving=None, pair=pair)


def _of_file(s: Selection) -> bool:
    """Whether the other prompt came with the prompt from the file."""
    return s.file is not None and s.pair is not None and s.pair.text == s.file.rows[s.file.at].corrupted


def one_prompt(s: Selection) -> Selection:
    """One prompt of the open file instead of the mean over all."""
    return replace(s, file=replace(s.file, over=False)) if s.file is not None else s


def at_prompt(s: Selection, index: int) -> Selection:
    """Another prompt of the file in the prompt line, with the file's answer for it."""
    assert s.file is not None
    index %= len(s.file.rows)
    row = s.file.rows[index]
    pair = Pair(row.corrupted) if row.corrupted else s.pair
    return _with_own_answer(replace(s, text=row.text, file=replace(s.file, at=index), arriving=None, pair=pair))


def prepared(s: Selection, job: jobs.PreparePrompts, prompts: jobs.Prompts) -> Selection:
    """The worker has tokenized the file."""
    assert s.file is not None
    return _with_own_answer(replace(s, file=replace(s.file, prepared=prompts, prepared_of=job, before=None)))


def _with_own_answer(s: Selection) -> Selection:
    """The file's answer for the prompt that is analysed, where it has one; else the user's own, else the likeliest, but
    never that of another prompt of the file."""
    file = s.file
    if file is None or file.prepared is None or s.text != file.rows[file.at].text:
        return s
    own, row = file.prepared.targets[file.at], file.rows[file.at]
    if own is not None:
        text = f"{row.answer} - {row.distractor}" if row.distractor else row.answer
        label = file.prepared.labels[file.at] if file.prepared.labels else ""
        return replace(s, answer=Answer(own, text, label, of_file=True))
    return replace(s, answer=None) if s.answer is not None and s.answer.of_file else s
