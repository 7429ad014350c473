"""Pictures as standalone SVG: nothing is fetched, text stays text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.results import Curve, Gallery, Graph, Grid, Header, ModelInfo, Result, Scalar, Table, Tokens
from tui.text import shorten, width
from tui.views import plot
from tui.views.charting import EIGHTHS, bar_chart, curve_chart
from tui.views.colours import Scheme
from tui.views.gallery import wall
from tui.views.geometry import SCROLLED_TEXT
from tui.views.picture import picture

_CHAR, _LINE, _SIZE = 8.4, 18, 14
_WIDEST = 1200
"""Columns up to which a picture grows for the texts of its cells."""


def svg_of(result: Result, columns: int = 120, lines: int = 40) -> str:
    """A title line, the picture, a line of conventions. A matrix larger than the picture is fitted; one of texts
    makes the picture as large as it needs."""
    if isinstance(result, Tokens | ModelInfo | Graph):
        raise TypeError(f"there is no picture of {type(result).__name__}")
    if isinstance(result, Grid) and result.text is not None:
        n_rows, n_cols = result.values.shape
        columns = max(columns, min(_WIDEST, 17 + SCROLLED_TEXT * n_cols))  # row labels and an axis take up to 17
        lines = max(12, n_rows + 6)  # column labels, axis, colour bar, and three lines of words
    scheme = Scheme()
    strips = _body(result, columns, max(1, lines - 3), scheme)
    title, convention = title_line(result.header), convention_line(result.header)
    head = [_line(title, columns, scheme, scheme.text), _line("", columns, scheme, scheme.text)]
    return _document([*head, *strips, _line(convention, columns, scheme, scheme.muted)], columns, title, scheme)


def title_line(header: Header) -> str:
    """``L1H3 · QK circuit, bilinear · W_E W_QK W_Eᵀ``."""
    parts = (header.head, header.quantity, header.formula, header.unit)
    return " · ".join(plot.words(part) for part in parts if part)


def convention_line(header: Header) -> str:
    """The conventions in force and the errors of the checks."""
    facts = [f"{name} {_fact(value)}" for name, value in header.convention.items() if value not in (None, "")]
    facts += [f"{name} {error:.1e}" for name, error in header.checks.items()]
    return " · ".join(plot.words(fact) for fact in facts)


def _fact(value: Scalar) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _body(result: Grid | Gallery | Table | Curve, columns: int, lines: int, scheme: Scheme) -> Sequence[Strip]:
    if isinstance(result, Grid):
        return picture(result, columns, lines, scheme, fit=True).strips
    if isinstance(result, Gallery):
        return wall(result, columns, lines, scheme).strips
    if isinstance(result, Table):
        return bar_chart(result, columns, lines, scheme).strips
    return curve_chart(result, columns, lines, scheme)


def _line(text: str, columns: int, scheme: Scheme, ink: tuple[int, int, int]) -> Strip:
    text = shorten(text, columns)
    style = Style(color="#{:02x}{:02x}{:02x}".format(*ink), bgcolor="#{:02x}{:02x}{:02x}".format(*scheme.surface))
    return Strip([Segment(text + " " * (columns - width(text)), style)], columns)


def _document(strips: Sequence[Strip], columns: int, title: str, scheme: Scheme) -> str:
    wide, high = columns * _CHAR + 2 * _LINE, len(strips) * _LINE + 2 * _LINE
    surface = "#{:02x}{:02x}{:02x}".format(*scheme.surface)
    boxes: list[str] = []
    words: list[str] = []
    for y, strip in enumerate(strips):
        x = 0
        for text, style, _ in strip:
            size = width(text)
            _draw(boxes, words, text, style or Style(), (_LINE + x * _CHAR, _LINE + y * _LINE), size, surface)
            x += size
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high}" width="{wide:g}" height="{high}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{surface}"/>',
        f'<g shape-rendering="crispEdges">{"".join(boxes)}</g>',
        f'<g font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="{_SIZE}">',
        *words,
        "</g>",
        "</svg>",
        "",
    ])  # fmt: skip


def _draw(boxes: list[str], words: list[str], text: str, style: Style, at: tuple[float, float], size: int,
          surface: str) -> None:  # fmt: skip
    background = style.bgcolor.get_truecolor().hex if style.bgcolor else surface
    if background != surface:
        boxes.append(
            f'<rect x="{at[0]:g}" y="{at[1]:g}" width="{size * _CHAR:g}" height="{_LINE}" fill="{background}"/>'
        )
    ink = style.color.get_truecolor().hex if style.color else "#ffffff"
    x = at[0]
    # Word by word, each at its place: viewers drop blanks at the start of a text, and fonts differ in width.
    for blank, word in _words(text):
        x += width(blank) * _CHAR
        if word in EIGHTHS[1:]:  # the end of a bar: fonts draw these blocks a little too small or too large
            share = EIGHTHS.index(word) / 8 * _CHAR
            boxes.append(f'<rect x="{x:g}" y="{at[1]:g}" width="{share:g}" height="{_LINE}" fill="{ink}"/>')
        elif word:
            place = f'x="{x:g}" y="{at[1] + _LINE * 0.75:g}" textLength="{width(word) * _CHAR:g}"'
            words.append(f'<text {place} fill="{ink}">{escape(word)}</text>')
        x += width(word) * _CHAR


def _words(text: str) -> list[tuple[str, str]]:
    """``text`` as pairs of blanks and the word after them."""
    out, rest = [], text
    while rest:
        word = rest.lstrip(" ")
        blank = rest[: len(rest) - len(word)]
        end = word.find(" ")
        word, rest = (word, "") if end < 0 else (word[:end], word[end:])
        out.append((blank, word))
    return out
