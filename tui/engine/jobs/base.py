"""What every other job is made of: the base class, the model, the forward pass, tokens and targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...results import ModelKey
from .kinds import ListKind, Opening


@dataclass(frozen=True)
class Job:
    """Base of everything that ``Engine.want`` takes."""

    def needs(self) -> frozenset[Job]:
        """The parts that it may ask for and shares with other jobs: a superset, since sizes decide which are used."""
        return frozenset()


@dataclass(frozen=True)
class Change:
    """Base of what can be changed in a forward pass."""

    def needs(self, run: Run) -> frozenset[Job]:
        """The jobs that it reads."""
        return frozenset()


@dataclass(frozen=True)
class Run:
    """One forward pass: what the activations of a result were computed from."""

    model: ModelKey
    ids: tuple[int, ...]
    bos: bool
    interventions: tuple[Change, ...] = ()
    """What is changed in it, in order."""

    @property
    def clean(self) -> Run:
        """The same prompt with nothing changed."""
        return replace(self, interventions=()) if self.interventions else self


@dataclass(frozen=True)
class OfHead(Job):
    """Base of what is asked of one head's weights."""

    model: ModelKey
    layer: int
    head: int


@dataclass(frozen=True)
class Open(Job):
    """Find, check and load a model → ``ModelInfo``."""

    source: str = "demo"
    """``demo``, a hub name (``name@revision``), or a folder."""
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    how: Opening = "load"
    """``load``: the model as a whole. ``first``: from its files where that can be, to be followed by ``Boot``.
    ``weights``, ``stream``: from its files alone."""
    device_map: str = ""
    """``auto``, ``balanced``, or a file of module → device; empty: all on one device."""
    max_memory: str = ""
    """``0=20GB,cpu=60GB``: what is put on each device at most."""


@dataclass(frozen=True)
class Boot(Open):
    """Load the model that was opened from its files, compare the two, and go on with the loaded one → ``ModelInfo``."""


@dataclass(frozen=True)
class Tokenize(Job):
    """Prompt text → ``Tokens``. Longer than the context: an error that says by how much, nothing is cut."""

    model: ModelKey
    text: str
    bos: bool
    chat: bool = False
    """The text is a user's message in the model's chat template, which alone says whether there is a BOS."""


@dataclass(frozen=True)
class Words(Job):
    """``"France, Paris, king"`` → ``Tokens``, one a word: with a leading space if there is such a token, else without.

    ``0:52`` and ``1,2,3`` (digits, commas, colons only) are token ids, ``a:b`` leaving b out. No BOS. ``kind`` leaves
    only one of the two readings: a word may be a number.
    """

    model: ModelKey
    text: str
    kind: ListKind = "either"


@dataclass(frozen=True)
class Target:
    """What lens and attribution speak of: ``logit[answer] − logit[distractor]``.

    Several answers (or distractors) are averaged. Without a distractor it is the answer's logit minus the mean logit of
    the vocabulary (soft-capped models: the logit before the cap, not centred).
    """

    answers: tuple[int, ...]
    distractors: tuple[int, ...] = ()


@dataclass(frozen=True)
class FindTarget(Job):
    """``"Paris"``, ``"Paris - Berlin"``, ``"Paris, Rome - Berlin, #17"`` → ``Found`` or, for a word of several tokens,
    ``Split``. A word is the one token with a leading space if there is such a token, else without; ``#17`` is an id.
    """

    model: ModelKey
    text: str
    before: str = ""
    """What stood before the words where they were typed: not looked up."""
