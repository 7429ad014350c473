"""What drawing through plotext is compared with: the same matrix by the line API alone."""

from __future__ import annotations

from typing import Any

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.results import Grid
from tui.views.colours import RGB, Scheme, palette, scale_of
from tui.views.geometry import block_extremes, lay
from tui.views.picture import Picture
from tui.views.plot import axis_label


def line_picture(
    grid: Grid, width: int, height: int, scheme: Scheme | None = None, *, fit: bool = False,
    origin: tuple[int, int] = (0, 0), scale: Any = None, numbers: bool = True, halves: bool = False,
) -> Picture:  # fmt: skip
    """``plot.picture`` without plotext: the same cells, labels and sizes, made into Segments directly."""
    scheme = scheme or Scheme()
    layout = lay(grid, width, height, axis_label, fit, origin)
    scale = scale or scale_of(grid.values, grid.diverging)
    colours = palette(scheme, grid.diverging)
    shown = block_extremes(grid.values, layout.rows.starts, layout.cols.starts, grid.diverging)
    levels = scale.levels(shown, len(colours))
    plain = _style(scheme.muted, scheme.surface)
    inks = [_style(None, swatch.background) for swatch in colours.swatches]
    blank = Strip([Segment(" " * width, plain)], width)
    strips = [blank] * height
    edges = layout.cols.edges
    if layout.upright:
        for line in range(layout.label_lines):
            chars = [" "] * width
            for i, text in enumerate(layout.col_labels):
                place = line - (layout.label_lines - len(text))
                chars[layout.left + (edges[i] + edges[i + 1] - 1) // 2] = text[place] if place >= 0 else " "
            strips[line] = Strip([Segment("".join(chars), plain)], width)
    for down, row in enumerate(levels.tolist()):
        name = layout.row_labels[down] if layout.row_labels else ""
        segments = [Segment(name.rjust(layout.left - 1)[: layout.left - 1] + "│", plain)]
        start = 0
        for across in range(1, len(row) + 1):
            if across == len(row) or row[across] != row[start]:
                ink = plain if row[start] < 0 else inks[row[start]]
                segments.append(Segment(" " * (edges[across] - edges[start]), ink))
                start = across
        segments.append(Segment(" " * (width - layout.left - edges[-1]), plain))
        strip = Strip(segments, width)
        for line in range(layout.rows.edges[down], layout.rows.edges[down + 1]):
            strips[layout.top + line] = strip
    return Picture(tuple(strips), layout, levels, colours, scale, grid)


def _style(colour: RGB | None, background: RGB | None) -> Style:
    return Style(
        color=Color.from_rgb(*colour) if colour else None, bgcolor=Color.from_rgb(*background) if background else None
    )
