"""What a page is: the base class of every view, and the small values that it is declared with.

A page draws one job's result. It holds its own choices (``Look``), the options that change them (``Option``), its side
panels (``Panel``), the questions it asks, its headless forms (``Export``), and says in words what it shows. Everything
else - tabs, keys, help, palette, the export's arguments, the README's tables - is derived from these declarations.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from .arrange import tokens_alone
from .engine import jobs
from .results import ModelInfo, Result, Table, Tokens
from .selection import Look, Selection

Cached = Callable[["jobs.Job"], Result | None]
"""What is known of a job: its result, or what there is of it so far."""
Segments = list[tuple[str, str]]
"""Pieces of a line with their style names (Textual's theme variables)."""
Lookup: TypeAlias = "jobs.Words | jobs.FindTarget | jobs.FindPairs | jobs.Tokenize"
"""What the worker can be asked about an answer that was typed."""


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
    def circuit(self) -> tuple[str, ...]: ...
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


class Page:
    """One view. Subclasses are declared with class attributes and registered in ``pages``."""

    name: ClassVar[str]
    title: ClassVar[str]
    key: ClassVar[str]
    help: ClassVar[str]
    """One sentence, for the key's help."""
    says: ClassVar[tuple[str, str]]
    """The README's row: what a cell is, and what it says."""
    group: ClassVar[str] = "Go"
    options: ClassVar[tuple[Option, ...]] = ()
    panels: ClassVar[tuple[Panel, ...]] = ()
    questions: ClassVar[tuple[Question, ...]] = ()
    commands: ClassVar[tuple[Command, ...]] = ()
    """Keys that only this page has a use for."""
    moves: ClassVar[Mapping[str, Callable[[Selection], Selection | Say]]] = {}
    """What its commands ``move('…')`` do."""
    exports: ClassVar[tuple[Export, ...]] = ()
    refuses: ClassVar[Mapping[str, str]] = {}
    """Key of an option that it does not have → what to press instead."""
    of_head: ClassVar[bool] = False
    """Whether the picture is about the selected head: an exported file is named after it."""
    long: ClassVar[bool] = False
    """Whether its job is a search that nobody wants computed for the neighbouring heads."""
    marks: ClassVar[bool] = False
    """Whether rows and columns are both tokens of the prompt, so that the token strip marks two."""
    back_to: ClassVar[str] = ""
    """The page that its key shows when it is shown already."""

    # --- what it shows ---

    def job(self, s: Selection) -> jobs.Job | Nothing:
        """What it draws, of one prompt or of the weights."""
        raise NotImplementedError

    def over(self, s: Selection, prompts: jobs.Prompts) -> jobs.Job | Nothing | None:
        """What it draws over a file of prompts; None: it does not exist over one."""
        return None

    def shape(self, s: Selection, result: Result) -> Result:
        """The result in the shape in which it is drawn: the same numbers, other rows and columns."""
        return result

    def words(self, s: Selection) -> list[str]:
        """The title's pieces: what is drawn, with every option that changes its numbers."""
        raise NotImplementedError

    # --- the cursor ---

    def cell(self, s: Selection) -> tuple[int, int]:
        """(row, column) of the drawn result that the cursor is on."""
        return s.prompt_cell

    def at(self, s: Selection, row: int, col: int) -> Selection:
        """The cursor on another cell: the inverse of ``cell``."""
        return replace(s, row=row, col=col)

    def tokens(self, s: Selection) -> Tokens | None:
        """The tokens that rows and columns stand for, where they do."""
        return s.tokens

    def token_cell(self, s: Selection) -> tuple[int, int]:
        """(row, column) among ``tokens`` that panels speak of."""
        return s.prompt_cell

    def step(self, s: Selection, by: int) -> Selection | None:
        """The cursor's keys where the picture is a curve; None: they move in the picture."""
        return None

    # --- what is said and opened of the cell under the cursor ---

    def line(self, here: Here) -> Segments:
        """The inspector line."""
        raise NotImplementedError

    def part(self, here: Here) -> str:
        """The part, neuron or state that the cell under the cursor names; "" where it names none."""
        return ""

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        """What enter on a cell shows."""
        return Say("there is nothing more to open here")

    def shade(self, here: Here) -> tuple[float, ...] | None:
        """One value in −1 … 1 a token, by which the token strip is coloured."""
        return None

    # --- its life ---

    def entered(self, s: Selection) -> Selection:
        """The selection as the page's key shows it; ``s`` is still on the page before."""
        return s

    def settled(self, s: Selection) -> Selection:
        """With what this page cannot show put right."""
        return s

    def asks(self, s: Selection) -> tuple[jobs.Job, ...]:
        """Jobs whose answers change the selection; they come to ``told``."""
        return ()

    def told(self, s: Selection, job: jobs.Job, result: Any) -> Selection:
        """What an answer (None: it failed) makes of the selection."""
        return s

    def inspects(self, s: Selection) -> tuple[jobs.Job, ...]:
        """Jobs that the inspector line reads beside the page's own."""
        return ()

    # --- derived ---

    @property
    def has_over(self) -> bool:
        """Whether it exists over a file of prompts."""
        return type(self).over is not Page.over

    def is_over(self, s: Selection) -> bool:
        """Whether it shows a file of prompts instead of one."""
        return self.has_over and s.file is not None and s.file.over

    def shown(self, s: Selection) -> jobs.Job | Nothing:
        """The job whose result it draws now."""
        if s.key is None:
            return Nothing()
        if self.is_over(s):
            assert s.file is not None
            if s.file.prepared is None:
                return Nothing()
            return self.over(s, s.file.prepared) or Nothing()
        return self.job(s)

    def option(self, key: str, s: Selection) -> Option | None:
        """The option that a key cycles here; over a file a page has all its modes at once."""
        if key == "mode" and self.is_over(s):
            return None
        return next((option for option in self.options if option.key == key), None)

    def refusal(self, key: str, s: Selection) -> str:
        """What to press instead of the key of an option that it does not have; "" where that is for others to say."""
        if key == "mode" and self.is_over(s):
            return "mean and spread stand side by side here; F shows one prompt"
        return self.refuses.get(key, "")


_EVERYWHERE: list[Panel] = []


def everywhere(panel: Panel) -> None:
    """Offer a side panel on every page."""
    _EVERYWHERE.append(panel)


def offered(page: Page, s: Selection) -> tuple[Panel, ...]:
    """A page's side panels here, in the order in which ``p`` walks them."""
    return tuple(panel for panel in (*page.panels, *_EVERYWHERE) if panel.offered(s))


def panel_of(page: Page, s: Selection) -> Panel | None:
    """The side panel that is open unless the user closed it."""
    panels = offered(page, s)
    return next((panel for panel in panels if panel.name == s.panel), panels[0] if panels else None)
