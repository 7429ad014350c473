"""What a page is: the base class of every view.

A page draws one job's result. It holds its own choices (``Look``), the options that change them (``Option``), its side
panels (``Panel``), the questions it asks, its headless forms (``Export``), and says in words what it shows. Everything
else - tabs, keys, help, palette, the export's arguments, the README's tables - is derived from these declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from .declared import (
    Command,
    Export,
    Here,
    Nothing,
    Option,
    Panel,
    Question,
    Say,
    Segments,
)
from .engine import jobs
from .names import is_edge
from .results import Result, Tokens
from .selection import Selection


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
    of_pairs: ClassVar[bool] = False
    """Whether it exists over a file of pairs alone."""
    modes_over: ClassVar[bool] = False
    """Whether its modes are apart over a file of prompts too; else all of them are there at once."""
    marks: ClassVar[bool] = False
    """Whether rows and columns are both tokens of the prompt, so that the token strip marks two."""
    list_first: ClassVar[bool] = False
    """Whether a small screen shows its ranked list before its picture."""
    ranked: ClassVar[bool] = True
    """Whether the rows of a list go by size in a difference too; else the cursor counts them as they stand."""
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

    def apart(self, changed: Here, clean: Here) -> Segments:
        """What the inspector adds where the picture is the difference of the changed model and the clean one."""
        return []

    def part(self, here: Here) -> str:
        """The part, neuron or state that the cell under the cursor names; "" where it names none."""
        return ""

    def edge(self, here: Here, listed: str) -> str:
        """The edge that the cell under the cursor names, or that of a list (``listed``): ``L0H2 → L2H2.k``; "" where
        there is none."""
        return listed if is_edge(listed) else ""

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
        return self.has_over and s.file is not None and s.file.over and not over_refused(self, s)

    def shown(self, s: Selection) -> jobs.Job | Nothing:
        """The job whose result it draws now."""
        if s.key is None:
            return Nothing()
        if self.is_over(s):
            return Nothing() if s.prompts is None else self.over(s, s.prompts) or Nothing()
        return self.job(s)

    def option(self, key: str, s: Selection) -> Option | None:
        """The option that a key cycles here."""
        if key == "mode" and not self.modes_over and self.is_over(s):
            return None
        return next((option for option in self.options if option.key == key), None)

    def refusal(self, key: str, s: Selection) -> str:
        """What to press instead of the key of an option that it does not have; "" where that is for others to say."""
        if key == "mode" and not self.modes_over and self.is_over(s):
            return "mean and spread stand side by side here; F shows one prompt"
        return self.refuses.get(key, "")


def over_refused(page: Page, s: Selection) -> str:
    """Why a page does not exist over the file that is open, or ""."""
    if s.file is None or s.file.pairs or not page.of_pairs:
        return ""
    return f"{s.file.name} has no pairs for {page.title}: P takes a file of clean, corrupted, answer, distractor"


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
