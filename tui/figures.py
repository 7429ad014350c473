"""Figures for a paper: a matrix, matrices side by side on one colour scale, bars of a list, or curves.

Drawn by matplotlib (the extra ``figures``), which is imported when the first figure is drawn. What is drawn is what
the Result holds; labels are the tokens as the screen writes them, the colours those of the screen. The same result
gives the same bytes: no date, no random ids, and nothing of a user's own matplotlib settings.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .framing import FigureLook
from .phrases import checks, word
from .results import Axis, Curve, Gallery, Graph, Grid, Header, Limits, ModelInfo, Result, Table, Tokens
from .text import visible
from .views.colours import Scheme, contrast, palette, scale_of
from .views.svg import title_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INSTALL = "pip install 'circuit-tui[figures]'"
DOTS = 300
"""Dots an inch of a PNG."""
VECTORS = 20_000
"""Cells up to which each is a shape of its own in SVG and PDF; more are one picture inside."""
SMALLEST = 4.0
"""Points of text in a cell: smaller is not legible."""
MOST_BARS = 40
_CM = 2.54
_SIZE = 7.0
"""Points of all other text."""
_SETTINGS = {
    "font.family": ["DejaVu Sans"], "font.size": _SIZE, "axes.titlesize": _SIZE, "axes.labelsize": _SIZE,
    "xtick.labelsize": _SIZE - 1, "ytick.labelsize": _SIZE - 1, "legend.fontsize": _SIZE - 1, "axes.linewidth": 0.5,
    "xtick.major.width": 0.5, "ytick.major.width": 0.5, "xtick.major.size": 2.0, "ytick.major.size": 2.0,
    "lines.linewidth": 1.0, "text.parse_math": False, "text.usetex": False, "svg.fonttype": "none",
    "svg.hashsalt": "circuit-tui", "pdf.fonttype": 42, "axes.unicode_minus": True,
}  # fmt: skip


class Missing(Exception):
    """matplotlib is not installed; the sentence says how it is."""


@dataclass(frozen=True)
class About:
    """What a caption says beside what a Header does."""

    model: ModelInfo
    tokens: Tokens | None = None
    prompt: str = ""


def encoded(
    results: Sequence[Result], form: str, look: FigureLook, about: About, titles: Sequence[str] = ()
) -> bytes:
    """A figure as ``svg``, ``png`` or ``pdf``. ``titles``: one for each result, else its quantity and formula.

    Missing: there is no matplotlib. ValueError: a result has no picture, or results of several kinds.
    """
    with _settings(look) as scheme:
        figure = drawn(results, look, scheme, about, titles)
        out = io.BytesIO()
        _canvas(figure, form)
        about_it: dict[str, dict[str, Any]] = {
            "svg": {"Date": None, "Creator": "circuit-tui", "Title": _heading(results[0], titles, 0)},
            "pdf": {"CreationDate": None, "Creator": "circuit-tui", "Producer": "matplotlib",
                    "Title": _heading(results[0], titles, 0)},
            "png": {"Software": "circuit-tui"},
        }  # fmt: skip
        figure.savefig(out, format=form, dpi=DOTS, metadata=about_it[form])
    return out.getvalue()


def figure_of(results: Sequence[Result], look: FigureLook, about: About, titles: Sequence[str] = ()) -> Figure:
    """The figure itself, for those who read it back."""
    with _settings(look) as scheme:
        return drawn(results, look, scheme, about, titles)


@contextmanager
def _settings(look: FigureLook) -> Iterator[Scheme]:
    """Our settings alone, as long as something is drawn."""
    try:
        import matplotlib
    except ImportError:
        raise Missing(f"figures need matplotlib: {INSTALL}. Until then e writes JSON, CSV and NPZ.") from None
    dark = look.ground == "dark"
    scheme = Scheme() if dark else Scheme("truecolor", (255, 255, 255), (0, 0, 0), (90, 90, 90), (0, 0, 0),
                                          (168, 100, 26), False)  # fmt: skip
    text, ground = _hex(scheme.text), _hex(scheme.surface)
    inks = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), text)
    grounds = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), ground)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_SETTINGS, **inks, **grounds})
        yield scheme


def _canvas(figure: Figure, form: str) -> None:
    """The backend by its form: none that would look for a screen."""
    if form == "svg":
        from matplotlib.backends.backend_svg import FigureCanvasSVG as Canvas
    elif form == "pdf":
        from matplotlib.backends.backend_pdf import FigureCanvasPdf as Canvas
    else:
        from matplotlib.backends.backend_agg import FigureCanvasAgg as Canvas
    Canvas(figure)


def drawn(
    results: Sequence[Result], look: FigureLook, scheme: Scheme, about: About, titles: Sequence[str] = ()
) -> Figure:
    """The figure within our settings: pictures in a row, the colour bar at their right, the caption below."""
    from matplotlib.figure import Figure

    results = [_table_of(one) if isinstance(one, Graph) else one for one in results]
    figure = Figure((look.width / _CM, look.height / _CM), layout="constrained")
    first = results[0]
    caption = _caption(first, about, len(results) > 1)
    lines = textwrap.wrap(caption, max(20, int(look.width / _CM * 72 / (0.54 * (_SIZE - 1)))))
    room = (len(lines) + 0.5) * (_SIZE - 1) * 1.25 / 72 / (look.height / _CM)
    words, ink = "\n".join(map(drawable, lines)), _hex(scheme.muted)
    figure.text(0.015, 0.012, words, fontsize=_SIZE - 1, va="bottom", color=ink)
    parts: Any = figure.subfigures(2, 1, height_ratios=(max(0.2, 1 - room), min(0.8, room)))
    body = parts[0]
    body.set_facecolor(_hex(scheme.surface))
    if isinstance(first, Curve):
        _curves(body, [one for one in results if isinstance(one, Curve)], titles, scheme)
    elif isinstance(first, Table):
        _lists(body, [one for one in results if isinstance(one, Table)], titles, look, scheme)
    elif isinstance(first, Grid | Gallery):
        grids = [grid for one in results for grid in (one.grids if isinstance(one, Gallery) else (one,))
                 if isinstance(grid, Grid)]  # fmt: skip
        _matrices(body, grids, titles if len(titles) == len(grids) else (), look, scheme)
        if isinstance(first, Gallery):
            body.suptitle(drawable(_heading(first, titles, 0)), fontsize=_SIZE)
    else:
        raise ValueError("this view has no picture")
    return figure


# --- matrices ---


def _matrices(body: Any, grids: Sequence[Grid], titles: Sequence[str], look: FigureLook, scheme: Scheme) -> None:
    if not all(grid.values.size for grid in grids):
        raise ValueError("there is no number to draw")
    across = len(grids) if len(grids) < 5 else -(-len(grids) // (2 if len(grids) <= 8 else 4))
    axes = body.subplots(-(-len(grids) // across), across, squeeze=False).ravel()
    values = np.concatenate([grid.values.ravel() for grid in grids])
    limits = grids[0].limits if all(grid.limits == grids[0].limits for grid in grids) else None
    own = scale_of(values, grids[0].diverging, limits)
    colours, ends = _colours(scheme, grids[0].diverging), (own.low, own.high)
    meshes = [_matrix(place, grid, colours, ends) for place, grid in zip(axes, grids, strict=False)]
    for empty in axes[len(grids) :]:
        empty.set_visible(False)
    for at, (place, grid) in enumerate(zip(axes, grids, strict=False)):
        name = titles[at] if titles else grid.header.head if len(grids) > 1 else title_line(grid.header)
        place.set_title("\n".join(textwrap.wrap(drawable(name or ""), max(18, int(look.width * 8 / across)))))
        alone = at % across == 0 or grid.rows.labels != grids[at - 1].rows.labels
        place.set_xlabel(drawable(grid.cols.name))
        place.set_ylabel(drawable(grid.rows.name) if at % across == 0 else "")
        _label_axes(place, grid, (look.width / len(grids[:across]), look.height / 2), alone)
    bar = body.colorbar(meshes[0], ax=list(axes), fraction=0.04, pad=0.02, aspect=30)
    bar.outline.set_linewidth(0.5)
    bar.set_label(drawable(grids[0].header.unit or grids[0].header.quantity))
    if look.numbers != "plain":
        body.figure.draw_without_rendering()  # the layout says how much room a cell has
        for place, grid in zip(axes, grids, strict=False):
            _numbers(place, grid, colours, ends, look)


def _matrix(place: Axes, grid: Grid, colours: Colormap, limits: Limits) -> Any:
    """Rows from the top; masked cells are the ground."""
    masked = np.ma.masked_invalid(grid.values)
    rows, cols = grid.values.shape
    if grid.values.size > VECTORS:
        mesh: Any = place.imshow(masked, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest",
                                 aspect="auto", extent=(-0.5, cols - 0.5, rows - 0.5, -0.5))  # fmt: skip
    else:
        mesh = place.pcolormesh(np.arange(cols + 1) - 0.5, np.arange(rows + 1) - 0.5, masked, cmap=colours,
                                vmin=limits[0], vmax=limits[1], edgecolors="none", linewidth=0)  # fmt: skip
        place.set_xlim(-0.5, cols - 0.5)
        place.set_ylim(rows - 0.5, -0.5)
    return mesh


def _label_axes(place: Axes, grid: Grid, room: tuple[float, float], with_rows: bool) -> None:
    """As many labels as there is room for (centimetres): every one, else every second, third, …"""
    sides = ((grid.cols, room[0], place.set_xticks), (grid.rows, room[1], place.set_yticks))
    for axis, centimetres, set_ticks in sides:
        step = max(1, -(-len(axis) * int(_SIZE + 1) // max(1, int(centimetres * 72 / _CM))))
        shown = range(0, len(axis), step)
        hidden = axis is grid.rows and not with_rows
        set_ticks(list(shown), ["" if hidden else _label(axis, at) for at in shown])
    longest = max((len(_label(grid.cols, at)) for at in range(len(grid.cols))), default=0)
    if longest * len(grid.cols) * 0.6 * _SIZE > room[0] * 0.8 * 72 / _CM:
        for text in place.get_xticklabels():
            text.set(rotation=60, ha="right", rotation_mode="anchor")


def _numbers(place: Axes, grid: Grid, colours: Colormap, limits: Limits, look: FigureLook) -> None:
    """Values in the cells, a text above each where cells have one, where they are legible."""
    rows, cols = grid.values.shape
    if rows * cols > VECTORS or not rows or not cols:
        return
    box = place.get_window_extent()
    points = 72 / place.figure.dpi
    cell = box.width * points / cols, box.height * points / rows
    words = [[cell_text(grid, row, col) for col in range(cols)] for row in range(rows)]
    longest = max((len(line) for row in words for word in row for line in word.split("\n")), default=1)
    lines = 2 if grid.text is not None else 1
    size = min(_SIZE - 0.5, cell[0] / (0.66 * max(longest, 1)), cell[1] / (1.3 * lines))
    if size < (SMALLEST if look.numbers == "auto" else 1.5):
        return
    span = (limits[1] - limits[0]) or 1.0
    for row in range(rows):
        for col in range(cols):
            if (word := words[row][col]) and np.isfinite(grid.values[row, col]):
                red, green, blue = colours((float(grid.values[row, col]) - limits[0]) / span)[:3]
                ink = contrast((round(red * 255), round(green * 255), round(blue * 255)))
                place.text(col, row, word, ha="center", va="center", fontsize=size, color=_hex(ink))


def cell_text(grid: Grid, row: int, col: int) -> str:
    """What stands in a cell: its value, below its text where it has one."""
    value = float(grid.values[row, col])
    if not np.isfinite(value):
        return ""
    number = f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}" if abs(value) < 10_000 else f"{value:.0e}"
    number = number.replace("-", "−").replace("−0.00", "0.00")
    word = drawable(visible(grid.text[row][col])) if grid.text is not None and grid.text[row][col] else ""
    return f"{word}\n{number}" if word else number


# --- lists and curves ---


def _lists(body: Any, tables: Sequence[Table], titles: Sequence[str], look: FigureLook, scheme: Scheme) -> None:
    """The first rows of each as bars; of a list without bars its last numbers."""
    axes = body.subplots(1, len(tables), squeeze=False).ravel()
    most = min(MOST_BARS, max(5, int(look.height * 0.68 * 72 / _CM / (_SIZE + 0.5))))
    for at, (place, table) in enumerate(zip(axes, tables, strict=True)):
        bar = bar_of(table)
        rows = table.rows[:most]
        values = [float(row[bar]) if isinstance(row[bar], int | float) else 0.0 for row in rows]  # type: ignore[arg-type]
        low, high = palette(scheme, True).swatches[6].background, palette(scheme, True).swatches[-7].background
        inks = [_hex(high if value >= 0 else low) for value in values]
        place.barh(range(len(rows)), values, color=inks, height=0.75)
        place.set_yticks(range(len(rows)), [row_name(table, row, bar) for row in rows])
        place.set_ylim(len(rows) - 0.4, -0.6)
        place.axvline(0, color=_hex(scheme.text), linewidth=0.5)
        place.set_xlabel(drawable(table.columns[bar]))
        name, columns = drawable(_heading(table, titles, at)), max(24, int(look.width * 8 / len(tables)))
        place.set_title("\n".join(textwrap.wrap(name, columns)))
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
        if len(rows) <= 25:
            place.bar_label(place.containers[0], [f"{value:.3g}".replace("-", "−") for value in values], padding=2,
                            fontsize=_SIZE - 2)  # fmt: skip


def bar_of(table: Table) -> int:
    """The column whose numbers are drawn: that of the bars, else the first of fractions, else the last of numbers."""
    if table.bar is not None:
        return table.columns.index(table.bar)
    columns = range(len(table.columns))
    for kinds in ((float,), (float, int)):
        for at in columns:
            cells = [row[at] for row in table.rows if row[at] is not None]
            if cells and all(isinstance(cell, kinds) for cell in cells):
                return at
    raise ValueError("there is no number to draw in this list")


def row_name(table: Table, row: Sequence[Any], bar: int) -> str:
    """The words of a row, its tokens as the screen writes them."""
    words = [
        visible(cell) if name in ("token", "source", "query", "key", "output") else cell
        for name, cell in zip(table.columns, row, strict=True) if isinstance(cell, str)
    ] or [str(row[0])]  # fmt: skip
    return drawable(" → ".join(words[:3]))


def _table_of(graph: Graph) -> Table:
    """The edges of a graph, strongest first."""
    rows = [
        (f"{graph.nodes[link.sender]} → {graph.nodes[link.receiver]}{f'.{side}' if side else ''}", effect)
        for link in graph.links for side, effect in link.effects
    ]  # fmt: skip
    rows.sort(key=lambda row: -abs(row[1] or 0.0))
    return Table(graph.header, ("edge", graph.unit), tuple(rows), graph.unit)


def _curves(body: Any, curves: Sequence[Curve], titles: Sequence[str], scheme: Scheme) -> None:
    place = body.subplots()
    several = sum(len(curve.series) for curve in curves) > 1
    swatches = palette(scheme, True).swatches
    inks = [swatches[-6], swatches[5], swatches[-14], swatches[13]]
    for curve in curves:
        for name, values in curve.series.items():
            label = " · ".join(filter(None, (curve.header.head if len(curves) > 1 else "", name)))
            ink = _hex(inks[len(place.lines) % len(inks)].background)
            style = ("-", "--", ":")[len(place.lines) // len(inks) % 3]
            place.plot(curve.x, values, style, color=ink, label=drawable(label), marker=".", markersize=3)
    place.set_xlabel(drawable(curves[0].x_name))
    place.set_ylabel(drawable(curves[0].y_name))
    place.set_title(drawable(_heading(curves[0], titles, 0) if len(curves) == 1 else curves[0].header.quantity))
    for side in ("top", "right"):
        place.spines[side].set_visible(False)
    if several:
        place.legend(frameon=False)


# --- words ---


def _heading(result: Result, titles: Sequence[str], at: int) -> str:
    if at < len(titles):
        return titles[at]
    return "" if isinstance(result, Tokens | ModelInfo) else title_line(result.header)


def _caption(result: Result, about: About, row: bool) -> str:
    """Quantity, formula, what it means, model, prompt and every convention."""
    header = result.header if not isinstance(result, Tokens | ModelInfo) else Header("", "", "")
    what = " ".join(filter(None, ("" if row else header.head, header.quantity)))
    model = f"{about.model.name}, {about.model.key.dtype} on {about.model.key.device}"
    facts = [f"{name} {word(value)}" for name, value in header.convention.items() if value not in (None, "")]
    said = ", ".join(facts) + (f"; {checks(header, facts=False)}" if header.checks else "")
    parts = [f"{what}: {header.formula}" if header.formula else what, header.explanation, model,
             f"“{visible(about.prompt).replace('·', ' ')}”" if about.prompt and about.tokens is not None else "", said]
    return ". ".join(part.rstrip(".") for part in parts if part) + "."


def _label(axis: Axis, at: int) -> str:
    text = visible(axis.told_apart[at]) if axis.ids is not None else axis.labels[at]
    text = drawable(text)
    return text if len(text) <= 24 else text[:23] + "…"


def drawable(text: str) -> str:
    """Text with every character that the font lacks written by its number: ``<U+6771>``, ``<U+001B>``."""
    known = _characters()
    return "".join(char if char == "\n" or ord(char) in known else f"<U+{_number(char):04X}>" for char in text)


def _number(char: str) -> int:
    """Of the picture of a control character (``␛``) that of the character itself."""
    return ord(char) - 0x2400 if 0x2400 <= ord(char) < 0x2420 else ord(char)


_KNOWN: set[int] = set()


def _characters() -> set[int]:
    """What the font has, which comes with matplotlib."""
    if not _KNOWN:
        from matplotlib import get_data_path
        from matplotlib.ft2font import FT2Font

        _KNOWN.update(FT2Font(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf").get_charmap())
    return _KNOWN


def _colours(scheme: Scheme, diverging: bool) -> Colormap:
    """The screen's ramp, smooth; what is masked is the ground."""
    from matplotlib.colors import LinearSegmentedColormap

    swatches = palette(scheme, diverging).swatches
    stops = [_hex(swatch.background) for swatch in swatches]
    made: Colormap = LinearSegmentedColormap.from_list("circuit-tui", stops, N=512)
    return made.with_extremes(bad=_hex(scheme.surface))


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
