"""What pages are declared with: options, panels, questions, keys, headless forms, and why there is nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from .arrange import tokens_alone
from .engine import jobs
from .names import Circuit
from .results import ModelInfo, Result, Table, Tokens
from .selection import Look, Selection

Cached = Callable[["jobs.Job"], Result | None]
"""What is known of a job: its result, or what there is of it so far."""
Segments = list[tuple[str, str]]
"""Pieces of a line with their style names (Textual's theme variables)."""
Lookup: TypeAlias = "jobs.Words | jobs.FindTarget | jobs.FindPairs | jobs.Tokenize"
"""What the worker can be asked about an answer that was typed."""


Given: TypeAlias = "Mapping[str, Any]"
"""Options of an export by their names, as values: a number, a word, a ``Run`` under ``run``, ``clean`` and
``corrupted``, token ids under ``ids``, a ``Target`` under ``target``, ``Prompts`` under ``prompts``, ``pairs`` and
``reference``, a ``Circuit`` under ``file``. False and None are left out."""


@dataclass(frozen=True)
class Nothing:
    """Why there is no picture: stands in its place. Empty while what is missing is on its way."""

    why: str = ""


@dataclass(frozen=True)
class Say:
    """Why a key did nothing, or what to know about what it did."""

    sentence: str


@dataclass(frozen=True)
class Problem:
    """Why an answer is no good, and what would be."""

    sentence: str


NO_TOKENS = Nothing("no tokens yet: press i and type a prompt")
NO_HEAD = Nothing("no head is selected: } selects one")


@dataclass(frozen=True)
class Here:
    """A selection with what is drawn of it."""

    s: Selection
    drawn: Result | None
    """The page's result in the shape in which it is drawn; None while it is not known."""
    cached: Cached

    def result(self, job: jobs.Job | Nothing | None) -> Result | None:
        """What is known of a job."""
        return self.cached(job) if isinstance(job, jobs.Job) else None


@dataclass(frozen=True)
class Option:
    """One choice of a page: which key cycles it, through which values, and why some cannot be."""

    key: str
    """Id of the command that cycles it: ``mode``, ``unit``, ``normalize``, …"""
    look: type[Look]
    name: str
    """The choice in that look."""
    values: tuple[Any, ...] | Callable[[Selection], tuple[Any, ...]]
    help: str = ""
    """What the key does here, for the help: ``scores, value-weighted``."""
    why_not: Callable[[Selection, Any], str] = field(default=lambda s, value: "")
    remark: Callable[[Selection], str] = field(default=lambda s: "")
    """A sentence about the value that was reached, such as what it will change."""

    def of(self, s: Selection) -> Any:
        """Its value."""
        return getattr(s.look(self.look), self.name)

    def put(self, s: Selection, value: Any) -> Selection:
        """The selection with another value."""
        return s.put(replace(s.look(self.look), **{self.name: value}))

    def choices(self, s: Selection) -> tuple[Any, ...]:
        """Its values, those that cannot be here too."""
        return self.values(s) if callable(self.values) else self.values

    def place(self, s: Selection) -> tuple[int, int]:
        """Which of its values it has, counted from 1 (0: none of them), and how many there are."""
        choices = self.choices(s)
        return choices.index(self.of(s)) + 1 if self.of(s) in choices else 0, len(choices)

    def cycle(self, s: Selection, back: bool = False) -> tuple[Selection, str]:
        """The next possible value, or the one before, and a word about a value that had to be passed over ("" if
        none)."""
        choices = self.choices(s)
        start = choices.index(self.of(s)) if self.of(s) in choices else -1
        passed = ""
        for step in range(1, len(choices) + 1):
            value = choices[(start - step if back else start + step) % len(choices)]
            if not (reason := self.why_not(s, value)):
                there = self.put(s, value)
                return there, passed or self.remark(there)
            passed = passed or reason
        return s, passed


@dataclass(frozen=True)
class Panel:
    """A small page at the side of one."""

    name: str
    job: Callable[[Here], jobs.Job | Nothing]
    title: Callable[[Here], str]
    shape: Callable[[Here, Result], Result] = field(default=lambda here, result: tokens_alone(result))
    """The job's result as there is room for it."""
    opens: Callable[[Here, Table, int], Selection | Say | None] = field(default=lambda here, table, row: None)
    """What enter on a row does."""
    offered: Callable[[Selection], bool] = field(default=lambda s: True)


@dataclass(frozen=True)
class Question:
    """One thing that is asked for by one line of text, and what the text makes of the selection."""

    id: str
    title: str
    hint: str
    answered: Callable[[Selection, str], Selection | Lookup | Problem]
    before: Callable[[Selection], str] = field(default=lambda s: "")
    """What the field holds at first."""
    found: Callable[[Selection, Lookup, Any], Selection] = field(default=lambda s, job, result: s)
    """What the worker's answer to a look-up makes of the selection."""
    refuses: Callable[[Selection], str] = field(default=lambda s: "")
    """Why it is not asked here."""
    lists: Callable[[Selection], str] = field(default=lambda s: "")
    """What there is to choose from, before the hint."""
    tries: Callable[[Selection, str], Lookup | None] = field(default=lambda s, text: None)
    """What the worker is asked while the text is typed, to show below the field what it is; None: nothing is."""
    shows: Callable[[Selection, Any], Sequence[Segments]] = field(default=lambda s, result: ())
    """Its answer, in lines."""


@dataclass(frozen=True)
class Command:
    """One thing the user can do."""

    id: str
    keys: tuple[str, ...]
    """In Textual's key names; the first is the one that is shown."""
    action: str
    label: str
    """A word or two for the footer and the palette."""
    help: str
    """One sentence: what it does and, where it matters, what it does not."""
    group: str
    footer: str = ""
    """Its word in the footer, "" to stay out of it; neighbours with the same word share one place there."""
    also: str = ""
    """Other words by which the palette finds it first."""


class Asked(Protocol):
    """One headless request: its options, and what they mean on the model that is open."""

    options: argparse.Namespace
    tokens: Tokens | None

    @property
    def model(self) -> ModelInfo: ...
    @property
    def run(self) -> jobs.Run: ...
    @property
    def basis_run(self) -> jobs.Run | None: ...
    @property
    def layer_and_head(self) -> tuple[int, int | None]: ...
    @property
    def head(self) -> jobs.HeadAt: ...
    @property
    def with_bos(self) -> bool: ...
    @property
    def as_chat(self) -> bool: ...
    @property
    def offset(self) -> int: ...
    @property
    def layer(self) -> int | None: ...
    @property
    def filter(self) -> jobs.TokenFilter: ...
    def place(self, name: str = "position", default: int = -1) -> int: ...
    def target(self) -> jobs.Target: ...
    def given_target(self) -> jobs.Target | None: ...
    def token(self, output: bool = False) -> int: ...
    def prompts(self) -> jobs.Prompts: ...
    def one_prompt(self) -> jobs.Prompts: ...
    def reference(self) -> jobs.Prompts: ...
    def words_after(self, text: str) -> tuple[int, ...]: ...
    def circuit(self) -> Circuit: ...
    @property
    def stack(self) -> tuple[jobs.Change, ...]: ...
    def changed_prompts(self) -> jobs.Prompts: ...
    def get(self, job: jobs.Job) -> Any: ...


@dataclass(frozen=True)
class Export:
    """The headless form of a page, a mode or a side panel: ``circuit-tui export NAME``."""

    name: str
    job: Callable[[Asked], jobs.Job]
    takes: tuple[str, ...] = ()
    """Options beside those that every export has; elsewhere they are refused, never silently ignored."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Option → the values that it has here, where other exports have others."""
    reads: Literal["text", "weights", "either", "prompts", "pair"] = "text"
    """``text``: needs a prompt or a token list; ``weights``: takes neither; ``prompts``: needs a file of them;
    ``pair``: a clean and a corrupted prompt."""
    head: Literal["", "optional", "needed", "layer"] = ""
    """Whether it takes ``--head``; ``layer``: needed, and a whole layer will do."""
    ignores: tuple[str, ...] = ()
    """Options of every export that change nothing here."""
    file: str = ""
    """What the file after its name holds; "": it takes none."""
    refuses: Callable[[argparse.Namespace], str] = field(default=lambda options: "")
    """What is wrong with a combination of its options, before a model is loaded."""
    gives: Callable[[jobs.Job], Given | None] = field(default=lambda job: None)
    """The inverse of ``job``: the options by which it makes this very job; None: it makes no such job."""
