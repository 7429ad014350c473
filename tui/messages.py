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

    def __init__(self, result: Result, selection: Selection) -> None:
        super().__init__()
        self.result = result
        self.selection = selection
