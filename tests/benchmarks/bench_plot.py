"""``python -m tests.benchmarks.bench_plot``: drawing a matrix through plotext blocks, against plotext's own heatmap.

Ways of one row are measured in turns, one after the other, so that a busy neighbour slows both alike; medians.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

import numpy as np

from tests.views.grids import attention, grid_of, random_grid
from tui.results import Grid
from tui.views import plot
from tui.views.colours import Scheme, palette, scale_of
from tui.views.geometry import block_extremes

SIZE = (120, 40)
ROUNDS = 15


def through_heatmap(grid: Grid) -> object:
    """The same colours through ``figure.heatmap`` at the resolution of the canvas, cut into the same Strips."""
    scheme, colours = Scheme(), palette(Scheme(), grid.diverging)
    with plot.DRAWING:
        layout = plot.picture(grid, *SIZE, fit=True).layout
        figure = plot.prepare_figure(*SIZE, scheme)
        lines, columns = SIZE[1] - 9, SIZE[0] - 10
        rows = [i * grid.values.shape[0] // lines for i in range(lines)]
        cols = [i * grid.values.shape[1] // columns for i in range(columns)]
        values = grid.values[np.ix_(rows, cols)]
        levels = scale_of(grid.values, grid.diverging).levels(values, len(colours))
        rgb = [[colours.swatches[max(0, level)].background for level in row] for row in levels.tolist()]
        figure.draw(figure.heatmap(rgb))
        figure.ruler("y", "left").ticks(list(range(lines)), ["label"] * lines)
        return layout, plot.strips_of(figure.build(), SIZE[0])


def median_times(ways: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median milliseconds of each way, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    gc.disable()
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - start) * 1000)
    gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    start = time.perf_counter()
    plot.warm()
    print(f"import plotext {1000 * (time.perf_counter() - start):.0f} ms\n")
    qk, pattern, large = random_grid(64, 64), attention(64), grid_of(np.random.default_rng(0).normal(size=(1024, 1024)))
    layout = plot.picture(large, *SIZE, fit=True).layout
    rows, cols = layout.rows, layout.cols
    times = median_times({
        "64×64 QK → Strips, window": lambda: plot.picture(qk, *SIZE),
        "64×64 QK → Strips, fit": lambda: plot.picture(qk, *SIZE, fit=True),
        "64×64 pattern → Strips, window": lambda: plot.picture(pattern, *SIZE),
        "64×64 QK through figure.heatmap": lambda: through_heatmap(qk),
        "1,024² → Strips, fit": lambda: plot.picture(large, *SIZE, fit=True),
        "1,024² block extremes alone": lambda: block_extremes(large.values, rows.starts, cols.starts, True),
    })  # fmt: skip
    theirs = times["64×64 QK through figure.heatmap"] - times["64×64 QK → Strips, fit"]  # which it draws for its layout
    budgets = {"64×64 QK → Strips, window": 40, "64×64 QK → Strips, fit": 40, "1,024² → Strips, fit": 80}
    print(f"| {'what, on 120×40':34} | {'median ms':>9} | {'÷ heatmap':>9} | {'budget':>9} |")
    print(f"| {'-' * 34} | {'-' * 9} | {'-' * 9} | {'-' * 9} |")
    for name, taken in times.items():
        taken = theirs if "heatmap" in name else taken
        budget = f"{budgets[name]} ms" if name in budgets else ""
        print(f"| {name:34} | {taken:9.1f} | {taken / theirs:9.2f} | {budget:>9} |")
    ratio = times["64×64 QK → Strips, window"] / theirs
    print(f"\n64×64 against figure.heatmap: {ratio:.2f} (budget 0.33)")


if __name__ == "__main__":
    main()
