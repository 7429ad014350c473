"""A matrix to look at: the whole of it, without a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.reactive import reactive
from textual.strip import Strip

from tui.results import Grid
from tui.views.picture import picture
from tui.views.surface import Drawing


class Still(Drawing):
    """A Grid, fitted into the room there is."""

    grid: reactive[Grid | None] = reactive(None, repaint=False)

    def __init__(self, grid: Grid | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: tuple[tuple[object, ...], Grid, tuple[Strip, ...]] | None = None
        self.set_reactive(Still.grid, grid)

    def lines(self) -> Sequence[Strip] | None:
        grid, size = self.grid, self.content_size
        if grid is None or not grid.values.size or not size.width or not size.height:
            return None
        key: tuple[Any, ...] = (size, self.scheme)
        if self._drawn is None or self._drawn[0] != key or self._drawn[1] is not grid:
            self._drawn = (key, grid, picture(grid, size.width, size.height, self.scheme, fit=True).strips)
        return self._drawn[2]

    def watch_grid(self) -> None:
        self.refresh()
