"""States of the stream as rows: what Lens and Residual share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ..declared import Option
from ..engine import jobs
from ..selection import Look, Selection


@dataclass(frozen=True)
class StateRows(Look):
    """Which states are rows, and which of them is under the cursor."""

    passing: ClassVar[tuple[str, ...]] = ("state",)
    mids: bool = False
    """Whether states between attention and MLP are rows too."""
    state: str = ""
    """Name of the state under the cursor; empty: the last."""

    def settled(self, s: Selection) -> Self:
        return replace(self, mids=False) if self.mids and mids_refused(s, True) else self


def mids_refused(s: Selection, value: bool) -> str:
    """Why there are no states between attention and MLP, or ""."""
    return s.model.capabilities.states_mid if value and s.model is not None else ""


MIDS = Option("unit", StateRows, "mids", (False, True), "with or without the states between attention and MLP",
              why_not=mids_refused)  # fmt: skip


def names(s: Selection) -> tuple[str, ...]:
    """The states that are rows."""
    return s.states(s.look(StateRows).mids)


def row(s: Selection) -> int:
    """The row under the cursor: of its state, or of the one before it where that is no row."""
    every, state = names(s), s.look(StateRows).state
    state = state if state in every else state.replace(".mid", ".pre")
    return every.index(state) if state in every else max(0, len(every) - 1)


def at_row(s: Selection, index: int) -> Selection:
    """The cursor on another row."""
    every = names(s)
    return s.put(replace(s.look(StateRows), state=every[index])) if 0 <= index < len(every) else s


def under(s: Selection) -> str:
    """Name of the state under the cursor; "" while there is no model."""
    every = names(s)
    return every[row(s)] if every else ""


def vector(s: Selection) -> jobs.StateAt | None:
    """The state under the cursor, at the position."""
    return jobs.StateAt(under(s), s.position) if under(s) else None
