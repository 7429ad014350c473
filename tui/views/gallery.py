"""Thumbnails of several matrices at once: the patterns of all heads of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.results import Gallery, Grid
from tui.text import shorten, width
from tui.views import ansi, plot
from tui.views.colours import Scheme, palette, scale_of
from tui.views.geometry import Layout, block_extremes, cell_size, lay_axis
from tui.views.picture import insert_bar, insert_cells
from tui.views.surface import Drawing, restyled

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np

SMALLEST = (8, 3)
"""Below 8×3 characters a pattern is no longer seen: then thumbnails scroll."""
GAP = 3


@dataclass(frozen=True, eq=False)
class Wall:
    """Drawn thumbnails: their lines, and which is where."""

    strips: tuple[Strip, ...]
    across: int
    """Thumbnails in a row."""
    down: int
    """Rows of thumbnails shown."""
    first: int
    """First thumbnail shown."""
    step: tuple[int, int]
    """Columns and lines from one thumbnail to the next."""
    count: int

    def region(self, index: int) -> Region | None:
        """Title and picture of one thumbnail."""
        row, col = divmod(index - self.first, self.across)
        if not 0 <= row < self.down or index >= self.count:
            return None
        return Region(col * self.step[0], row * self.step[1], self.step[0] - GAP, self.step[1])

    def at(self, x: int, y: int) -> int | None:
        col, row = x // self.step[0], y // self.step[1]
        index = self.first + row * self.across + col
        return index if col < self.across and row < self.down and index < self.count else None


def wall(gallery: Gallery, columns: int, lines: int, scheme: Scheme, first: int = 0) -> Wall:
    """Draw thumbnails as large as all of them fit, on one colour scale; too small, a window of them."""
    count = max(1, len(gallery.grids))
    legend = lines > 2 * (SMALLEST[1] + 1)
    across, room = _arrangement(gallery, columns, lines - legend)
    step = (room[0] + GAP, room[1] + 1)
    down = max(1, min(-(-count // across), (lines - legend) // step[1]))
    first = max(0, min(first // across, -(-count // across) - down)) * across
    values = [grid.values.ravel() for grid in gallery.grids]
    diverging = any(grid.diverging for grid in gallery.grids)
    limits = {grid.limits for grid in gallery.grids}
    scale = scale_of(np.concatenate([*values, np.empty(0)]), diverging, limits.pop() if len(limits) == 1 else None)
    colours = palette(scheme, diverging)
    with plot.DRAWING:
        sheet = plot.blank(max(1, columns), max(1, lines), scheme)
        for place, grid in enumerate(gallery.grids[first : first + across * down]):
            x, y = place % across * step[0], place // across * step[1]
            plot.write(sheet, x, y, shorten(title_of(grid), room[0]), scheme.muted, scheme.surface)
            layout = _thumbnail(grid, (x, y + 1), room, (columns, lines))
            if layout is None:
                continue
            shown = block_extremes(grid.values, layout.rows.starts, layout.cols.starts, diverging)
            insert_cells(sheet, scale.levels(shown, len(colours)), layout, colours)
        if legend:
            insert_bar(sheet, lines - 1, columns, colours, scale, scheme)
        strips = ansi.strips_of(sheet.string(), max(1, columns))
    return Wall(strips, across, down, first, step, len(gallery.grids))


def title_of(grid: Grid) -> str:
    """Two spaces for the cursor's mark, and the head."""
    return "  " + plot.words(grid.header.head or grid.header.quantity)


def _arrangement(gallery: Gallery, columns: int, lines: int) -> tuple[int, tuple[int, int]]:
    """How many across, and the columns and lines of one picture, largest first."""
    count = max(1, len(gallery.grids))
    best, score = (1, (columns, max(1, lines - 1))), -1.0
    for across in range(1, count + 1):
        down = -(-count // across)
        room = ((columns + GAP) // across - GAP, lines // down - 1)
        if room[0] < SMALLEST[0] or room[1] < SMALLEST[1]:
            continue
        # Characters are twice as high as wide, and a wall is best whose last row is full.
        worth = min(room[0] / 2, room[1]) + 0.1 * (count / (across * down))
        if worth > score:
            best, score = (across, room), worth
    if score >= 0:
        return best
    across = max(1, (columns + GAP) // (SMALLEST[0] * 2 + GAP))
    return across, (max(1, (columns + GAP) // across - GAP), max(1, min(SMALLEST[1] * 2, lines - 1)))


def _thumbnail(grid: Grid, at: tuple[int, int], room: tuple[int, int], sheet: tuple[int, int]) -> Layout | None:
    n_rows, n_cols = grid.values.shape
    if not grid.values.size:
        return None
    wide, tall = cell_size(n_rows, n_cols, room[0], room[1], 0, True)
    rows, cols = lay_axis(n_rows, room[1], tall, True), lay_axis(n_cols, room[0], wide, True)
    return Layout(*sheet, *at, rows, cols, (), (), False, 0, False, False)


class Thumbnails(Drawing):
    """A Gallery; the cursor is one of its grids."""

    gallery: reactive[Gallery | None] = reactive(None, repaint=False)

    class OnThumbnail(Message):
        """Something about one grid of the gallery."""

        def __init__(self, thumbnails: Thumbnails, index: int) -> None:
            super().__init__()
            self.thumbnails, self.index = thumbnails, index

        @property
        def control(self) -> Thumbnails:
            return self.thumbnails

    class CursorMoved(OnThumbnail):
        """The cursor is on another thumbnail."""

    class Opened(OnThumbnail):
        """Enter, or a double click on a thumbnail."""

    def __init__(self, gallery: Gallery | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._at = 0
        self._first = 0
        self._drawn: tuple[tuple[object, ...], Gallery, Wall] | None = None
        self.set_reactive(Thumbnails.gallery, gallery)

    @property
    def cursor(self) -> int:
        return self._at

    @property
    def wall(self) -> Wall | None:
        """What is drawn now."""
        gallery, size = self.gallery, self.content_size
        if gallery is None or not gallery.grids or not size.width or not size.height:
            return None
        key = (size, self._first, self.scheme)
        if self._drawn is None or self._drawn[0] != key or self._drawn[1] is not gallery:
            self._drawn = (key, gallery, wall(gallery, size.width, size.height, self.scheme, self._first))
        return self._drawn[2]

    def lines(self) -> Sequence[Strip] | None:
        shown = self.wall
        return shown.strips if shown else None

    def line_with_cursor(self, strip: Strip, y: int) -> Strip:
        shown = self.wall
        place = shown.region(self._at) if shown else None
        if place is None or y != place.y or self.gallery is None:
            return strip
        text = shorten("▸" + title_of(self.gallery.grids[self._at])[1:], place.width)
        style = self.get_component_rich_style("plot--cursor")
        end = min(strip.cell_length, place.x + width(text) + 1)
        return restyled(strip, place.x, end, style + Style(reverse=True), text.ljust(end - place.x))

    def set_cursor(self, index: int) -> None:
        """Put the cursor on a thumbnail (clamped)."""
        if self.gallery is None or not self.gallery.grids:
            return
        old, new = self._at, max(0, min(index, len(self.gallery.grids) - 1))
        shown = self.wall
        self._at = new
        if old == new:
            return
        if shown is not None and not self._scroll_to_cursor(shown):
            places = (shown.region(old), shown.region(new))
            self.refresh(*(Region(place.x, place.y, place.width, 1) for place in places if place))
        else:
            self.refresh()
        self.post_message(self.CursorMoved(self, new))

    def action_cursor(self, down: int, right: int = 0) -> None:
        """Move by thumbnails; down stays in its column."""
        shown = self.wall
        target = self._at + down * (shown.across if shown else 1) + right
        if shown is not None and 0 <= target < shown.count:
            self.set_cursor(target)

    def action_page(self, down: int) -> None:
        """Move by the rows shown."""
        shown = self.wall
        if shown is not None:
            self.set_cursor(self._at + down * shown.across * shown.down)

    def action_edge(self, side: int, down: int = 0) -> None:
        """Go to the first (-1) or the last (1), by either."""
        self.set_cursor(0 if (side or down) < 0 else len(self.gallery.grids) - 1 if self.gallery else 0)

    def action_open(self) -> None:
        """Enter on a thumbnail."""
        if self.wall is not None:
            self.post_message(self.Opened(self, self._at))

    def watch_gallery(self, gallery: Gallery | None) -> None:
        self._at = max(0, min(self._at, len(gallery.grids) - 1 if gallery else 0))
        if (shown := self.wall) is not None:
            self._scroll_to_cursor(shown)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        if (shown := self.wall) is not None:
            self._scroll_to_cursor(shown)

    def on_click(self, event: events.Click) -> None:
        place, shown = event.get_content_offset(self), self.wall
        index = shown.at(place.x, place.y) if shown and place else None
        if index is None:
            return
        event.stop()
        self.set_cursor(index)
        if event.chain == 2:
            self.action_open()

    def _scroll_to_cursor(self, shown: Wall) -> bool:
        if shown.region(self._at) is not None:
            return False
        first = max(0, (self._at // shown.across - shown.down // 2) * shown.across)
        moved, self._first = first != self._first, first
        return moved
