"""What the explorer is told from outside, and tells the app."""

from __future__ import annotations

from textual.message import Message

from .engine.events import Event
from .results import Result
from .selection import Selection


class EngineEvent(Message):
    """Something the worker said; posted from its thread."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class ExportWanted(Message):
    """The user asked for the shown result as a file."""

    def __init__(self, result: Result, selection: Selection, form: str = "json") -> None:
        super().__init__()
        self.result = result
        self.selection = selection
        self.form = form


class FigureWanted(Message):
    """The user asked for what is drawn as a figure: several results stand in a row."""

    def __init__(self, results: tuple[Result, ...], titles: tuple[str, ...], selection: Selection, form: str) -> None:
        super().__init__()
        self.results = results
        self.titles = titles
        self.selection = selection
        self.form = form


class CopyWanted(Message):
    """The user asked for a text on the clipboard; ``name``: of the file that it is kept in too."""

    def __init__(self, what: str, text: str, name: str) -> None:
        super().__init__()
        self.what = what
        self.text = text
        self.name = name
