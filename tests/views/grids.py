"""Grids, and reading a picture back: what a terminal would show in each character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from textual.strip import Strip

from tui.results import Axis, Curve, Gallery, Grid, Header, Table, frozen

HEADER = Header("pattern", "attention pattern", "softmax(qk)", head="L1H3")
WEIRD = (
    "line\nbreak", "\x1b[31mred\x1b[0m", "\x07bell\x9b", "日本語の長い長い長い言葉", "👩‍👩‍👧 family", "é́́",
    "⏰✅⭐", "ก็ไทย", "a\tb", "", " ", "[bold]markup[/]", "\ud800", "‮right to left", "㉈☰🌡", "🇫🇷🇩🇪", "x" * 500,
)  # fmt: skip
WORDS = (" Paris", " the", "ing", ",", " understanding", " capital", " of", "<|bos|>", " London", " is", "ly")
Shown = tuple[str, tuple[int, int, int] | None]


def grid_of(values: np.ndarray, labels: Sequence[str] | None = None, diverging: bool = True) -> Grid:
    values = np.asarray(values, dtype=np.float32)
    names = [tuple((labels or [f" t{i}" for i in range(n)])[i % len(labels or range(n))] for i in range(n))
             for n in values.shape]  # fmt: skip
    return Grid(HEADER, frozen(values), Axis("query", names[0], tuple(range(len(names[0])))),
                Axis("key", names[1], tuple(range(len(names[1])))), diverging)  # fmt: skip


def random_grid(rows: int, cols: int, seed: int = 0, diverging: bool = True, masked: float = 0.0) -> Grid:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, cols)) if diverging else rng.random((rows, cols))
    values[rng.random((rows, cols)) < masked] = np.nan
    return grid_of(values, diverging=diverging)


def lens(rows: int, cols: int, words: Sequence[str] = WORDS, masked: float = 0.0, diverging: bool = False) -> Grid:
    """A grid with a text in every cell."""
    grid = random_grid(rows, cols, rows + cols, diverging, masked)
    texts = tuple(tuple(words[(3 * row + 7 * col) % len(words)] for col in range(cols)) for row in range(rows))
    states = Axis("state", tuple(f"L{row}.pre" for row in range(rows)))
    return replace(grid, rows=states, text=texts)


def attention(tokens: int, seed: int = 0) -> Grid:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(tokens, tokens)) * 2
    scores[np.triu_indices(tokens, 1)] = -np.inf
    pattern = np.exp(scores - scores.max(axis=1, keepdims=True))
    pattern /= pattern.sum(axis=1, keepdims=True)
    pattern[np.triu_indices(tokens, 1)] = np.nan
    return grid_of(pattern, diverging=False)


def table_of(values: Sequence[float | None], labels: Sequence[str] | None = None) -> Table:
    names = labels or [f"L0H{i}" for i in range(len(values))]
    rows = tuple((names[i % len(names)], value, i) for i, value in enumerate(values))
    return Table(HEADER, ("part", "write", "rank"), rows, "write")


def curve_of(*series: Sequence[float]) -> Curve:
    x = np.arange(max(map(len, series), default=0), dtype=np.float64)
    return Curve(HEADER, "distance", "score", x, {f"s{i}": np.array(y, dtype=float) for i, y in enumerate(series)})


def gallery_of(count: int, tokens: int = 12) -> Gallery:
    return Gallery(HEADER, tuple(attention(tokens, seed) for seed in range(count)))


def shown(strip: Strip) -> list[Shown]:
    """Character and background of every column; a wide character fills two."""
    out: list[Shown] = []
    for text, style, _ in strip:
        background = (style or Style()).bgcolor
        colour = tuple(background.get_truecolor()) if background else None
        for char in text:
            out += [(char, colour)] * cell_len(char)
    return out


def assert_clean(strips: Sequence[Strip], columns: int, lines: int) -> None:
    """Exactly so many lines, each exactly so wide by any count, and nothing that a terminal would obey."""
    assert len(strips) == lines
    for strip in strips:
        assert strip.cell_length == columns
        assert sum(cell_len(segment.text) for segment in strip) == columns
        assert cell_len(strip.text) == columns
        assert all(char >= " " and not 0x7F <= ord(char) < 0xA0 for char in strip.text), strip.text
        assert all(style is not None and style.bgcolor is not None for _, style, _ in strip)
