"""Keys on a pseudo-terminal: how long until the frame is painted, and how many bytes it takes."""

from __future__ import annotations

import statistics
import time

from tests.benchmarks.measure import Row, ms, percentile, size
from tests.benchmarks.screen import LONG, Child

ROUNDS = 40
SNAKE = "}}}]{{{]}}}]{{{]"
"""Through all 16 heads of the demo and back to the first: more pictures than a heatmap keeps."""
COLORS = ("--color", "truecolor")
"""The most bytes a cell."""


def main() -> list[Row]:
    """Timing first, bytes after."""
    return [*next_head(), *cursor(), *bytes_of_frames()]


def next_head() -> list[Row]:
    """The matrix alone, and in the app; each in turns with the same widget drawing by the line API."""
    with Child("grids") as ours, Child("grids", "line") as lines:
        for child in (ours, lines):
            child.painted("\x1b[?25l")
            child.settle(1)
        alone = in_turns(ours, lines, "}" * ROUNDS)
    with Child("app", "--prompt", LONG, *COLORS) as ours, Child("line_app", "--prompt", LONG, *COLORS) as lines:
        for child in (ours, lines):
            child.open()
            for key in SNAKE:
                child.after(key, 1.0)
        begun = len(ours.noted())
        explorer = in_turns(ours, lines, (SNAKE * ROUNDS)[:ROUNDS])
        computed = {words[0] for words in ours.noted()[begun:]} - {"plotext"}
    out = []
    for where, (one, other, p95) in {"matrix alone": alone, "whole app": explorer}.items():
        what = f"key to painted frame, next head, 64×64 at 120×40, {where}"
        words = f" (computed: {', '.join(sorted(computed))})" if computed and where == "whole app" else ""
        figure = f"{ms(one)}, p95 {ms(p95)}{words}"
        out.append(Row(what, figure, f"line API {ms(other)}", one / other, "≤ 2 ×", one <= 2 * other))
    return out


def in_turns(ours: Child, lines: Child, keys: str) -> tuple[float, float, float]:
    """Median milliseconds of both from key to last byte, and our p95."""
    taken: tuple[list[float], list[float]] = ([], [])
    for key in keys:
        for child, times in zip((ours, lines), taken, strict=True):
            times.append(1000 * child.after(key, 0.12)[0])
    return statistics.median(taken[0]), statistics.median(taken[1]), percentile(taken[0], 0.95)


def cursor() -> list[Row]:
    """One cell at a time with the whole matrix in sight; then in a window that scrolls, and with the side panel."""
    with Child("app", "--prompt", LONG, *COLORS) as child:
        child.open()
        child.press("p", "p", "z")  # no side panel, the matrix fitted
        child.settle(1)
        begun = len(child.noted())
        moves = [child.after(key, 0.1) for key in "h" * 20 + "kh" * 10 + "k" * 10]
        notes = [words[0] for words in child.noted()[begun:]]
        child.press("p")
        child.settle(1)
        rests = [child.after(key, 0.8)[1] for key in "jkjk"]
        for key in ("p", "p", "z"):
            child.after(key, 0.5)
        scrolls = [child.after(key, 0.1)[1] for key in "j" * 60]
    plotext, forward = notes.count("plotext"), notes.count("Forward")
    times, count = [1000 * taken for taken, _ in moves], [each for _, each in moves]
    p95 = percentile(count, 0.95)
    figure = f"{size(p95)} (median {size(statistics.median(count))}, most {size(max(count))})"
    return [
        Row("cursor move, 64×64 at 120×40: bytes, p95", figure, "", None, "≤ 2 kB", p95 <= 2000),
        Row("cursor moves: calls of plotext, forward passes", f"{plotext}, {forward}", "", None, "none",
            not plotext and not forward),
        Row("cursor move: key to painted cells", f"{ms(statistics.median(times))}, p95 {ms(percentile(times, 0.95))}",
            "", None, "", True),
        Row("cursor move that scrolls the window, at most", size(max(scrolls)),
            f"median move {size(statistics.median(scrolls))}", None, "", True),
        Row("cursor move and the side panel that follows at rest", size(statistics.median(rests)), "", None, "", True),
    ]  # fmt: skip


def bytes_of_frames() -> list[Row]:
    """The demo as it opens, at 80×24 and at 120×40."""
    out = []
    for columns, lines in ((80, 24), (120, 40)):
        with Child("app", *COLORS, size=(columns, lines)) as child:
            child.open()
            heads = [child.after(key, 0.4)[1] for key in SNAKE]
            if columns == 80:
                most = max(heads)
                figure = f"{size(most)} (median {size(statistics.median(heads))})"
                out.append(Row("next head on the demo at 80×24, at most", figure, "", None, "≤ 25 kB", most <= 25_000))
            before = child.count
            child.resize(columns, lines - 1)
            child.settle(0.6)
            one = (child.count - before) / (columns * (lines - 1))
            out.append(Row(f"whole redraw at {columns}×{lines - 1}, bytes a cell", f"{one:.1f} B", "", None, "≤ 24 B",
                           one <= 24))  # fmt: skip
            before = child.count
            time.sleep(5)
            rate = (child.count - before) / 5
            if columns == 120:
                out.append(Row("idle", f"{rate:.0f} B/s", "", None, "0 B/s", rate == 0))
    return out
