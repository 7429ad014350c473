"""Drawing a matrix through plotext blocks, against plotext's own heatmap at the resolution of the canvas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.benchmarks.measure import Row, median_times, ms
from tests.views.grids import grid_of, lens, random_grid
from tui.results import Grid
from tui.views import plot
from tui.views.ansi import strips_of
from tui.views.colours import Scheme, palette, scale_of
from tui.views.picture import picture

SIZE = (120, 40)
ROUNDS = 15


def through_heatmap(grid: Grid) -> object:
    """The same colours through ``figure.heatmap`` at the resolution of the canvas, cut into the same Strips."""
    scheme, colours = Scheme(), palette(Scheme(), grid.diverging)
    with plot.DRAWING:
        layout = picture(grid, *SIZE, fit=True).layout
        figure = plot.prepare_figure(*SIZE, scheme)
        lines, columns = SIZE[1] - 9, SIZE[0] - 10
        rows = [i * grid.values.shape[0] // lines for i in range(lines)]
        cols = [i * grid.values.shape[1] // columns for i in range(columns)]
        values = grid.values[np.ix_(rows, cols)]
        levels = scale_of(grid.values, grid.diverging).levels(values, len(colours))
        rgb = [[colours.swatches[max(0, level)].background for level in row] for row in levels.tolist()]
        figure.draw(figure.heatmap(rgb))
        figure.ruler("y", "left").ticks(list(range(lines)), ["label"] * lines)
        return layout, strips_of(figure.build().string(), SIZE[0])


def main() -> list[Row]:
    """In turns, one after the other, so that a busy neighbour slows all alike."""
    plot.warm()
    qk, large = random_grid(64, 64), grid_of(np.random.default_rng(0).normal(size=(1024, 1024)))
    pictures = (picture(qk, *SIZE), picture(qk, *SIZE, fit=True), picture(large, *SIZE, fit=True))
    assert [shown.is_blocked for shown in pictures] == [False, True, True]
    words = lens(25, 64)
    bare = replace(words, text=None)
    assert picture(words, *SIZE).layout.texts
    assert not picture(bare, *SIZE).layout.texts
    assert all(shown.levels.size > 1000 for shown in pictures)
    times = median_times({
        "window": lambda: picture(qk, *SIZE),
        "fit": lambda: picture(qk, *SIZE, fit=True),
        "heatmap": lambda: through_heatmap(qk),
        "large": lambda: picture(large, *SIZE, fit=True),
        "texts": lambda: picture(words, *SIZE),
        "plain": lambda: picture(bare, *SIZE),
    }, ROUNDS)  # fmt: skip
    theirs = times["heatmap"] - times["fit"]  # which it draws for its layout
    ratio = times["window"] / theirs
    peer = f"figure.heatmap {ms(theirs)}"
    return [
        Row("64×64 matrix → Strips at 120×40 through plotext", ms(times["window"]), peer, ratio, "≤ 40 ms, ≤ 0.33 ×",
            times["window"] <= 40 and ratio <= 1 / 3),
        Row("the same, the whole matrix fitted", ms(times["fit"]), peer, times["fit"] / theirs, "≤ 40 ms, ≤ 0.33 ×",
            times["fit"] <= 40 and times["fit"] / theirs <= 1 / 3),
        Row("1,024² matrix → Strips at 120×40, fitted", ms(times["large"]), "", None, "≤ 80 ms", times["large"] <= 80),
        Row("25 × 64 cells with a token in each", ms(times["texts"]), f"without {ms(times['plain'])}",
            times["texts"] / times["plain"], "≤ 3 ms more", times["texts"] <= times["plain"] + 3),
    ]  # fmt: skip
