"""The README's walk-throughs, key by key on the embedded model: every figure that it prints stands on the screen.

Keys, places and figures are read from the README's tables. All walk-throughs run in one session, in both orders, at
80×24 here and at 140×40 in ``test_walkthroughs_wide``, since each file has a process of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from textual.geometry import Region
from textual.pilot import Pilot

from tests.readme import table
from tui import needs, pages
from tui.app import CircuitApp
from tui.config import Options
from tui.explorer import Explorer
from tui.results import Grid
from tui.text import visible

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
FRANCE, KNOWS, INDUCTION, APART = (
    "## France and Paris in a few keys", "## How does the demo model know", "## Find the induction circuit",
    "## Is that the circuit?",
)  # fmt: skip
NUMBER = r"−?\d+(?:\.\d+)?(?:e−\d+)?"
FIGURE = re.compile(r"(?<![\w.,])(−?\d+\.\d+%?|#\d+|\d,\d{3}|1e-\d+)")
KEY = re.compile(r"`([^`]+)`|cursor to (the row `[^`]+`|the column `[^`]+`|L\dH\d|L\d\.mlp|`[^`]+` → `[^`]+`)")
PROMPTS = ("The capital of France is", "robin silk volcano robin", "France, Paris, king, queen", "induction", "mine")


@dataclass
class Screen:
    """The app as somebody sees it who has the README in hand."""

    explorer: Explorer
    pilot: Pilot[None]
    lines_beside: list[str] = field(default_factory=list)
    """What the side panel says in this row of the README."""

    async def settled(self) -> None:
        """Until everything that the screen needs is there and drawn."""
        explorer, deadline = self.explorer, asyncio.get_running_loop().time() + 60
        waiting = ("typing", "draw", "panel", "strip")
        while True:
            await self.pilot.pause(0.02)
            s, wishes = explorer.selection, explorer.scene.wishes
            there = s.tokens is not None and all(
                explorer.engine.cached(job) is not None
                for job in needs.needs(s, wishes.cached, explorer.panel_open)
            )
            if there and not any(map(explorer.pace.waits, waiting)):
                break
            assert asyncio.get_running_loop().time() < deadline
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.settled()

    def text(self, region: Region | None = None) -> list[str]:
        """Lines of the screen, or of a part of it."""
        strips = self.explorer._compositor.render_strips()
        if region is None:
            return [strip.text for strip in strips]
        return [strip.crop(region.x, region.right).text for strip in strips[region.y : region.bottom]]

    async def checks(self) -> str:
        """The identities below the picture, which a list may have covered."""
        if self.explorer.desk.small and self.explorer.panel_open:
            await self.press("escape")
        return self.line("#checks")

    def line(self, selector: str) -> str:
        return " ".join(self.text(self.explorer.query_one(selector).region))

    async def beside(self) -> list[str]:
        """The side panel's lines: on the right, or on a small screen after ``p``, until ``esc``. They are read once."""
        if self.lines_beside:
            return self.lines_beside
        small = self.explorer.desk.small
        if not self.explorer.panel_open:  # a page may have its list in front
            assert small
            await self.press("p")
        assert self.explorer.panel_open
        lines = self.text(self.explorer.panel.region)
        if small:
            await self.press("escape")
            assert not self.explorer.panel_open
        self.lines_beside = lines
        return lines

    def grid(self) -> Grid:
        grid = self.explorer.main.heatmap.grid
        assert isinstance(grid, Grid)
        return grid

    async def cursor_to(self, row: int | None, col: int | None) -> None:
        """By keys."""
        at = self.explorer.main.heatmap.cursor
        to = (at[0] if row is None else row, at[1] if col is None else col)
        down, right = to[0] - at[0], to[1] - at[1]
        await self.press(*("j" * down or "k" * -down), *("l" * right or "h" * -right))
        assert self.explorer.main.heatmap.cursor == to

    async def go(self, place: str) -> None:
        """The cursor to a place as the README names it; of equal labels the last is meant."""
        rows, cols = ([*axis.labels] for axis in (self.grid().rows, self.grid().cols))
        if part := re.fullmatch(r"(L\d)(H\d|\.mlp)", place):
            await self.cursor_to(rows.index(part[1]), cols.index(part[2].replace(".mlp", "MLP")))
            return
        names = re.findall(r"`([^`]+)`", place)
        row = None if place.startswith("the column") else last(rows, names[0])
        await self.cursor_to(row, None if place.startswith("the row") else last(cols, names[-1]))


def last(labels: list[str], label: str) -> int:
    return len(labels) - 1 - labels[::-1].index(label)


Reader = Callable[[Screen, str], Awaitable[None]]
"""Asserts that a figure of the README stands where it is said to stand."""


def cell(row: int | str, col: int | str, measured: str, word: str = "") -> Reader:
    """In the line of the cell under the cursor, after the name of what is measured."""

    async def check(screen: Screen, figure: str) -> None:
        grid, before = screen.grid(), screen.explorer.main.heatmap.cursor
        at = [place if isinstance(place, int) else last([*axis.labels], place)
              for place, axis in ((row, grid.rows), (col, grid.cols))]  # fmt: skip
        await screen.cursor_to(*at)
        said = screen.line("#inspector")
        await screen.cursor_to(*before)
        found = re.search(rf"{re.escape(measured)} \(?({NUMBER}|#\d+)", said)
        assert found is not None, said
        assert found[1] == figure, said
        assert visible(word) in said if word else True, said

    return check


def beside(name: str, place: int, column: int = 0) -> Reader:
    """In a row of the side panel, the ``place``-th from the top. ``column``: which of its numbers."""

    async def check(screen: Screen, figure: str) -> None:
        lines = await screen.beside()
        start = re.compile(rf"\W*(?:\d+ )?{re.escape(visible(name) if name[0] == ' ' else name)} +(.*)")
        found = {number: match for number, line in enumerate(lines) if (match := start.match(line))}
        assert found, lines
        first = min(found)
        assert first == 1 + place, lines  # below the title and the names of the columns
        assert re.findall(NUMBER, found[first][1])[column] == figure, lines

    return check


def checks(name: str) -> Reader:
    """In the line of identities, after the name of a side."""

    async def check(screen: Screen, figure: str) -> None:
        assert re.search(rf"Σ parts {re.escape(figure)} = {name} {re.escape(figure)} ±", await screen.checks())

    return check


async def within(screen: Screen, figure: str) -> None:
    """The identity's error is at most that."""
    found = re.search(r"±(\de-\d+)", await screen.checks())
    assert found is not None
    assert float(found[1]) <= float(figure)


async def vocabulary(screen: Screen, figure: str) -> None:
    model = screen.explorer.selection.model
    assert model is not None
    assert f"{model.d_vocab:,}" == figure


async def others_give_less(screen: Screen, figure: str) -> None:
    lines = await screen.beside()
    given = [re.match(rf"\W*(?:bos⟩|\w+) +({NUMBER})", line) for line in lines[1:] if "France" not in line]
    values = [abs(float(found[1].replace("−", "-"))) for found in given if found]
    assert len(values) == 5
    assert max(values) < float(figure)


def others_below_chance(best: int) -> Reader:
    """Below the best rows of the side panel all are negative."""

    async def check(screen: Screen, _figure: str) -> None:
        rows = [match[1] for line in await screen.beside() if (match := re.match(r"\W*L\dH\d(.*)", line))]
        values = [re.findall(NUMBER, row)[0] for row in rows]
        assert len(values) == 8
        assert [value.startswith("−") for value in values] == [False] * best + [True] * (8 - best)

    return check


async def named_in_the_tree(screen: Screen, _figure: str) -> None:
    """Induction heads are, where their line is in sight."""
    assert re.search(r"H3 +ind 0?\.826.*H0 +ind 0?\.896", screen.line("#tree"))


def next_token(token: str) -> Reader:
    """In the line of tokens, as what comes next."""

    async def check(screen: Screen, figure: str) -> None:
        assert f"→ {visible(token)} {figure}" in screen.line("TokenStrip")

    return check


def comes_later(token: str) -> Reader:
    """In the line of tokens, after the likeliest."""

    async def check(screen: Screen, figure: str) -> None:
        assert re.search(rf"→ .*{re.escape(visible(token))} {re.escape(figure)}", screen.line("TokenStrip"))

    return check


def here(measured: str) -> Reader:
    """In the line of the cell under the cursor."""

    async def check(screen: Screen, figure: str) -> None:
        found = re.search(rf"{re.escape(measured)} ({NUMBER})", screen.line("#inspector"))
        assert found is not None, screen.line("#inspector")
        assert found[1] == figure

    return check


def falls(name: str, place: int) -> Reader:
    """In a row of the side panel, with a minus before it."""

    async def check(screen: Screen, figure: str) -> None:
        await beside(name, place)(screen, f"−{figure}")

    return check


def faithful(place: int) -> list[Reader]:
    """The circuit's share, and the least and most of random ones."""
    return [beside("faithfulness", place, column) for column in range(3)]


WALKS: dict[str, list[list[Reader]]] = {
    FRANCE: [
        [next_token(" Paris")],
        [cell(" is", " France", "pattern")],
        [vocabulary, beside(" Paris", 1), beside(" France", 2)],
        [cell(" France", " Paris", "OV"), cell(" France", " Paris", "9.82"), cell(" king", " queen", "OV"),
         cell(" king", " queen", "9.69")],
        [cell(" France", " Paris", "QK"), cell(" king", " queen", "QK")],
        [],
    ],
    KNOWS: [
        [cell("L0.pre", " is", "probability", " not"), cell("L1.pre", " is", "probability", " Paris"),
         cell("L3.post", " is", "probability", " Paris")],
        [cell("L0.mid", " is", "probability", " Paris")],
        [checks("value"), within, beside("L0H2", 1), beside("L0H3", 2), beside("L1H2", 3), beside("L2H2", 4)],
        [cell(" is", " France", "pattern")],
        [beside("France", 5), others_give_less, within, beside("France", 5, 1), beside("France", 5, 2)],
        [vocabulary, beside(" Paris", 1), beside(" France", 2)],
    ],
    INDUCTION: [
        [next_token(" silk")],
        [beside("L2H2", 1), beside("L2H3", 2), beside("L2H0", 3)],
        [beside("L0H2", 1), beside("L0H3", 2)],
        [cell(4, 3, "pattern"), cell(3, 2, "pattern"), cell(2, 1, "pattern")],
        [cell(4, 1, "virtual K")],
        [beside("L1H0", 1), beside("L0H1", 2), beside("L0H0", 3)],
        [checks("score"), within, beside("L0H0 L0H2", 1), beside("L0H1 L0H2", 2), beside("L0H0 L0H3", 3)],
    ],
    APART: [
        [beside("L0H0", 1), beside("L2H3", 2), beside("L0H1", 3), beside("L2H2", 4)],
        [beside("L2H3", 1), beside("L3.mlp", 2), beside("L2H2", 3), beside("L0H0", 15)],
        [falls("L0H0", 1), beside("L0H0", 1), beside("L0H0", 1, 1), falls("L0H1", 2), beside("L0H1", 2)],
        [here("logit difference")],
        [here("logit difference")],
        [next_token(","), comes_later(" silk")],
        [here("=")],
        [],
        [],
        faithful(4),
        [*faithful(4), beside("F(circuit)", 2), beside("F(full)", 1)],
        faithful(4),
        [beside("L2H3   logits", 2), beside("L3.mlp logits", 3), beside("L2H2   logits", 4)],
        [],
    ],
}  # fmt: skip
"""What stands where, for each row of a walk-through's table and each figure in it."""


CLAIMS: dict[str, tuple[Reader, ...]] = {
    "`7`": (named_in_the_tree,),
    "cursor to L2H2, `8`": (others_below_chance(2),),
    "`8` `m` `m`": (others_below_chance(3),),
}
"""What a row says without a figure."""


def keys_of(cell: str) -> Iterator[tuple[str, str]]:
    """(key, ""), (text to type, "typed") and (place, "cursor") of a row, as the README has them."""
    rest = KEY.sub("", cell)
    assert not rest.replace(",", "").replace("then", "").strip(), f"this is no key: {rest}"
    for key, place in KEY.findall(cell):
        if place:
            yield place, "cursor"
        else:
            yield key, "typed" if len(key) > 1 and (key in PROMPTS or re.fullmatch(r"L\dH\d", key)) else ""


async def walk(screen: Screen, title: str) -> None:
    rows = table(README, title)
    assert len(rows) == len(WALKS[title])
    for (keys, seen), readers in zip(rows, WALKS[title], strict=True):
        for key, kind in keys_of(keys):
            if kind == "cursor":
                await screen.go(key)
            elif kind == "typed":
                await screen.press(*key)
            else:
                await screen.press(key)
        screen.lines_beside = []
        for name in re.findall(r"\*\*(\w+)\.?\*\*", seen):
            assert pages.of(screen.explorer.selection).title == name, keys
        for check in CLAIMS.get(keys, ()):
            await check(screen, "")
        figures = FIGURE.findall(seen)
        assert len(figures) == len(readers), seen
        for figure, check in zip(figures, readers, strict=True):
            await check(screen, figure)


@pytest.mark.timeout(500)
async def test_walk_throughs_in_one_session_at_80x24() -> None:
    await there_and_back((80, 24))


async def there_and_back(size: tuple[int, int]) -> None:
    """Each after each, and twice."""
    app = CircuitApp(Options())
    async with app.run_test(size=size) as pilot:
        screen = Screen(app.explorer, pilot)
        pace = app.explorer.pace
        pace.draw_pause, pace.panel_pause, pace.typing_pause = 0.0, 0.01, 0.05
        await screen.settled()
        for title in (*WALKS, *reversed(WALKS)):
            await walk(screen, title)


def test_no_figure_stands_outside_the_tables() -> None:
    """What is said after them repeats no number that nobody checks."""
    for title in WALKS:
        section = README.partition(title)[2].partition("\n## ")[0]
        outside = "\n".join(line for line in section.splitlines() if not line.startswith("|"))
        assert not FIGURE.findall(outside), title
