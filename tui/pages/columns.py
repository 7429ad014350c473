"""The cursor in a picture of layers × (heads, and what a layer has beside them): shared by pages that draw one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ..selection import Look, Selection


@dataclass(frozen=True, kw_only=True)
class PartColumn(Look):
    """Where the cursor is beyond the heads."""

    passing: ClassVar[tuple[str, ...]] = ("column", "beside")
    column: int = 0
    """Column under the cursor: one of no head, as long as layer and head are ``beside``."""
    beside: tuple[int, int | None] | None = None

    def at_head(self) -> Self:
        return replace(self, column=0, beside=None)

    def cell(self, s: Selection, head: int) -> tuple[int, int]:
        """(row, column) under the cursor; ``head``: the column of the selected head."""
        return s.layer, self.column if self.beside == (s.layer, s.head) else head

    def put_on(self, s: Selection, row: int, col: int, with_heads: bool = True) -> Selection:
        """The selection with the cursor on another cell. ``with_heads``: the first columns are heads."""
        if with_heads and s.model is not None and col < s.model.n_heads:
            return s.put(self.at_head(), layer=row, head=col)
        return s.put(replace(self, column=col, beside=(row, s.head)), layer=row)
