"""Keys on a pseudo-terminal: how long until the frame is painted, and how many bytes it takes."""

from __future__ import annotations

import statistics
import time

from tests.benchmarks.measure import Row, ms, percentile, size
from tests.benchmarks.screen import LONG, Child, shown

ROUNDS = 40
SNAKE = "}}}]{{{]}}}]{{{]"
"""Through all 16 heads of the demo and back to the first: more pictures than a heatmap keeps."""
_WALK = ((0, "0123"), (1, "3210"), (2, "0123"), (3, "3210"), (0, "0"))
HEADS = [f"L{layer}H{head} · pattern" for layer, heads in _WALK for head in heads]
"""What the keys of ``SNAKE`` show one after the other, and what they start from."""
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
            child.press("z")
            child.press("z")
            child.settle(1)
            for key in SNAKE:
                child.after(key, 1.0)
        ours.expect("L0H0 · pattern", panel=True, whole=True)
        begun = len(ours.noted())
        explorer = in_turns(ours, lines, (SNAKE * ROUNDS)[:ROUNDS])
        assert [shown(child.text).title for child in (ours, lines)] == [HEADS[ROUNDS % len(SNAKE)]] * 2
        computed = {words[0] for words in ours.noted()[begun:]} - {"plotext"}
    out = []
    for where, (one, other, p95) in {"matrix alone": alone, "whole app": explorer}.items():
        what = f"key to painted frame, next head, 64×64 at 140×40, {where}"
        words = f" (computed: {', '.join(sorted(computed))})" if computed and where == "whole app" else ""
        figure = f"{ms(one)}, p95 {ms(p95)}{words}"
        out.append(Row(what, figure, f"line API {ms(other)}", one / other, "≤ 2 ×", one <= 2 * other))
    return out


def in_turns(ours: Child, lines: Child, keys: str) -> tuple[float, float, float]:
    """Median milliseconds of both from key to last byte, and our p95."""
    taken: tuple[list[float], list[float]] = ([], [])
    for key in keys:
        for child, times in zip((ours, lines), taken, strict=True):
            seconds, count = child.after(key, 0.12)
            assert count > 500, f"{count} B are no other picture:\n{child.text}"
            times.append(1000 * seconds)
    return statistics.median(taken[0]), statistics.median(taken[1]), percentile(taken[0], 0.95)


def cursor() -> list[Row]:
    """One cell at a time: as the app opens, at two sizes; a large matrix, in sight and in a window that scrolls."""
    return [*cursor_by_default(), *cursor_in_64()]


def cursor_by_default() -> list[Row]:
    """The demo as it opens."""
    out = []
    for columns, lines, panel, limit in ((140, 40, True, 2000), (80, 24, False, 1200)):
        with Child("app", *COLORS, size=(columns, lines)) as child:
            child.open()
            child.expect("L0H0 · pattern", panel=panel, whole=True)
            p95, figure, times, _ = moves(child, ("hkhkljlj" "hhkkjllj" "kkkhhhlljjjl") * 2)
            where = f"cursor move on the demo at {columns}×{lines}"
            out.append(Row(f"{where}: bytes while moving, p95", figure, times, None, f"≤ {limit / 1000:g} kB",
                           p95 <= limit))  # fmt: skip
            if panel:
                rests = []
                for key in "hkjlhkjl":
                    before = shown(child.text).panel
                    child.after(key, 0.1)
                    moved = child.count
                    child.settle(0.8)
                    rests.append(child.count - moved)
                    if key in "jk":
                        assert shown(child.text).panel != before, "the panel did not follow"
                most = max(rests)
                out.append(Row("the side panel that follows at rest, at most", size(most), "", None, "≤ 4 kB",
                               500 <= most <= 4000))  # fmt: skip
            child.expect("L0H0 · pattern", panel=panel, whole=True)
    return out


def cursor_in_64() -> list[Row]:
    with Child("app", "--prompt", LONG, *COLORS) as child:
        child.open()
        child.close_panel()
        child.after("z", 1)
        child.after("z", 1)
        child.expect("L0H0 · pattern", panel=False, whole=True)
        p95, figure, times, notes = moves(child, "h" * 20 + "kh" * 8 + "k" * 8 + "j" * 8)
        child.expect("L0H0 · pattern", panel=False, whole=True)
        child.after("z", 1)
        child.expect("L0H0 · pattern", panel=False, whole=False)
        scrolls = [child.after(key, 0.1)[1] for key in "j" * 20 + "k" * 40]
        assert min(scrolls) > 0, "it ran into the edge"
        child.expect("L0H0 · pattern", panel=False, whole=False)
    plotext, forward = notes.count("plotext"), notes.count("Forward")
    return [
        Row("cursor move, 64×64 at 140×40: bytes, p95", figure, "", None, "≤ 1.2 kB", p95 <= 1200),
        Row("cursor moves: calls of plotext, forward passes", f"{plotext}, {forward}", "", None, "none",
            not plotext and not forward),
        Row("cursor move: key to painted cells", times, "", None, "", True),
        Row("cursor move that scrolls the window, at most", size(max(scrolls)),
            f"median move {size(statistics.median(scrolls))}", None, "", True),
    ]  # fmt: skip


def moves(child: Child, keys: str) -> tuple[float, str, str, list[str]]:
    """Bytes of cursor moves: their p95, in words, the times in words, and what was computed meanwhile. Each key must
    have moved the cursor: the inspector names another cell."""
    begun, taken, counts = len(child.noted()), [], []
    for key in keys:
        before = child.lines[-2]
        seconds, count = child.after(key, 0.07)  # the side panel follows after a longer rest
        assert child.lines[-2] != before, f"{key} moved nothing:\n{child.text}"
        taken.append(1000 * seconds)
        counts.append(count)
    p95 = percentile(counts, 0.95)
    figure = f"{size(p95)} (median {size(statistics.median(counts))}, most {size(max(counts))})"
    times = f"{ms(statistics.median(taken))}, p95 {ms(percentile(taken, 0.95))}"
    return p95, figure, times, [words[0] for words in child.noted()[begun:]]


def bytes_of_frames() -> list[Row]:
    """The demo as it opens, at 80×24 and at 140×40."""
    out = []
    for columns, lines in ((80, 24), (140, 40)):
        with Child("app", *COLORS, size=(columns, lines)) as child:
            child.open()
            heads = []
            for key, head in zip(SNAKE, HEADS[1:], strict=True):
                before = child.count
                child.press(key)
                child.wait_for(lambda text, head=head: shown(text).title == head)
                child.settle(0.4)
                heads.append(child.count - before)
                child.expect(head, panel=columns == 140, whole=True)
            if columns == 80:
                most = max(heads)
                figure = f"{size(most)} (median {size(statistics.median(heads))})"
                out.append(Row("next head on the demo at 80×24, at most", figure, "", None, "≤ 25 kB", most <= 25_000))
            before = child.count
            child.resize(columns, lines - 1)
            child.settle(0.6)
            child.expect(HEADS[0], panel=columns == 140, whole=True)
            one = (child.count - before) / (columns * (lines - 1))
            out.append(Row(f"whole redraw at {columns}×{lines - 1}, bytes a cell", f"{one:.1f} B", "", None, "≤ 24 B",
                           1 <= one <= 24))  # fmt: skip
            before = child.count
            time.sleep(5)
            rate = (child.count - before) / 5
            if columns == 140:
                out.append(Row("idle", f"{rate:.0f} B/s", "", None, "0 B/s", rate == 0))
    return out
