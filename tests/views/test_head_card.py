"""The card of a head: what it shows as results come in, and what its keys say."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.widgets import Input, Static

from tests.views.apps import Frugal, burst, count_bytes, quiet, screen_lines, taken
from tests.views.grids import HEADER, attention
from tui.results import Grid, Scalar, Table
from tui.views.ask import Ask
from tui.views.head_card import HeadCard

SCORES: list[tuple[Scalar, ...]] = [
    ("scores", "previous token", 0.0123), ("scores", "induction", 0.964), ("scores", "entropy", 1.7),
    ("copying", "OV top 5", 0.71), ("copying", "tokens", 1000), ("copying", "of all", None),
]  # fmt: skip
PAIRS: list[tuple[Scalar, ...]] = [("OV pairs", f"·Paris → ·France{i}", 31.2 - i) for i in range(20)]
FED: list[tuple[Scalar, ...]] = [("fed (K)", "L0H1", 5.2), ("fed (K)", "L1H3", -0.5), ("virtual", "L0H1 → L2H2", 3.0)]
SIZES = [(120, 40), (100, 30), (80, 24), (75, 40), (60, 20), (40, 12), (20, 5), (8, 2), (1, 1)]


def facts(*parts: Sequence[tuple[Scalar, ...]]) -> Table:
    return Table(HEADER, ("what", "of", "value"), tuple(row for part in parts for row in part))


class Below(Frugal):
    """Something under the card that hears what it says."""

    def __init__(self, opened: bool = True) -> None:
        super().__init__()
        self.said: list[tuple[object, ...]] = []
        self.card = HeadCard((2, 2))
        self.opened = opened

    def compose(self) -> ComposeResult:
        yield Static("below")

    def on_mount(self) -> None:
        if self.opened:
            self.push_screen(self.card)

    def on_head_card_noted(self, message: HeadCard.Noted) -> None:
        self.said.append(("noted", message.head, message.text))

    def on_head_card_toggle_bookmark(self, message: HeadCard.ToggleBookmark) -> None:
        self.said.append(("bookmark", message.head))

    def on_head_card_closed(self, message: HeadCard.Closed) -> None:
        self.said.append(("closed", message.head))

    def on_head_card_go_to(self, message: HeadCard.GoTo) -> None:
        self.said.append(("go", message.label))

    def show(
        self, table: Table | None, grid: Grid | None = None, note: str = "", bookmarked: bool = False, said: str = ""
    ) -> None:
        self.card.show("L2H2", table, grid, note, bookmarked, said)

    @property
    def row(self) -> tuple[Scalar, ...]:
        assert self.card.facts.table is not None
        return self.card.facts.table.rows[self.card.facts.cursor]


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_any_size_shows_what_fits_and_takes_every_key(size: tuple[int, int]) -> None:
    app = Below()
    async with app.run_test(size=size) as pilot:
        app.show(None)
        await pilot.pause()
        app.show(facts(SCORES, PAIRS, FED), attention(12), "copies what came after " * 20, True)
        await pilot.press("j", "k", "down", "up", "pagedown", "pageup", "ctrl+d", "ctrl+u", "end", "home")
        lines = screen_lines(app)
        assert all(cell_len(line) == size[0] for line in lines)
        text = "\n".join(lines)
        beside, under = size[0] >= 76 and size[1] >= 12, size[0] < 76 and size[1] >= 30
        assert ("attention pattern" in text) == (beside or under)
        if size[0] >= 20:
            for words in ("L2H2", "note", "i note"):
                assert words in text
        if size[1] >= 12:
            assert all(word in text for word in ("what", "value", "0.0123", "esc close"))
            assert "★ bookmarked" in text
        assert ("╭" in text) == (size[0] >= 100 and size[1] >= 30)
        for wide, high in SIZES:
            await pilot.resize_terminal(wide, high)
            await pilot.pause()
            assert all(cell_len(line) == wide for line in screen_lines(app))


async def test_facts_are_words_and_each_number_has_its_own_digits() -> None:
    app = Below()
    async with app.run_test(size=(100, 40)) as pilot:
        app.show(facts(SCORES, PAIRS[:1], FED))
        await pilot.pause()
        lines = [" ".join(line.strip("│ ").split()) for line in screen_lines(app)]
        for line in ("what of value", "scores previous token 0.0123", "scores induction 0.964", "scores entropy 1.70",
                     "copying tokens 1000", "copying of all –", "OV pairs ·Paris → ·France0 31.2",
                     "fed (K) L1H3 −0.500"):  # fmt: skip
            assert any(shown.startswith(line) for shown in lines), line
        assert "(no note yet: press i)" in "\n".join(lines)


async def test_it_can_be_filled_before_it_is_there_and_after_it_is_gone() -> None:
    app = Below()
    app.show(facts(SCORES), attention(4), "early", True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "early" in "\n".join(screen_lines(app))
        await pilot.press("escape")
        app.show(facts(SCORES, FED), None, "late", False)
        await pilot.pause()
        assert app.said == [("closed", (2, 2))]
        assert not isinstance(app.screen, HeadCard)


async def test_the_cursor_stays_on_its_row_as_more_comes_in() -> None:
    app = Below()
    async with app.run_test(size=(80, 24)) as pilot:
        app.show(facts(FED))
        await pilot.pause()
        app.show(facts(SCORES, FED))
        await pilot.pause()
        assert app.card.facts.cursor == 0, "the top stays the top"
        await pilot.press("end", "k")
        assert app.row == FED[1]
        app.show(facts(SCORES, PAIRS, FED))
        assert app.row == FED[1]
        app.show(facts(SCORES, PAIRS, [(*FED[1][:2], 0.7)]))
        assert app.row == ("fed (K)", "L1H3", 0.7), "with another number"
        app.show(facts(SCORES))
        assert app.row == SCORES[-1]
        app.show(None)
        app.show(facts(SCORES))
        assert app.row == SCORES[0]


async def test_only_what_changed_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    app, sent = Below(), count_bytes(monkeypatch)
    async with app.run_test(size=(120, 40)) as pilot:
        table, grid = facts(SCORES, PAIRS), attention(12)

        async def cost(table: Table, grid: Grid, note: str, bookmarked: bool = False) -> int:
            app.show(table, grid, note, bookmarked)
            return await quiet(pilot, sent)

        assert await cost(table, grid, "mine") > 5000
        assert await cost(table, grid, "mine") == 0
        assert await cost(facts(SCORES, PAIRS), grid, "mine") == 0, "an equal table"
        assert 0 < await cost(facts(SCORES, PAIRS, FED), grid, "mine") < 2000, "three more rows"
        assert 0 < await cost(facts(SCORES, PAIRS, FED), grid, "mine", True) < 900, "the star, and what b does now"
        assert 0 < await cost(facts(SCORES, PAIRS, FED), grid, "yours", True) < 400, "the note"
        await pilot.press("j")
        assert 0 < await quiet(pilot, sent) < 1200, "a cursor move"


async def test_rows_that_name_a_head_lead_there() -> None:
    app = Below()
    async with app.run_test(size=(100, 40)) as pilot:
        app.show(facts(FED, SCORES))
        await pilot.pause()
        assert "go to L0H1" in "\n".join(screen_lines(app))
        await pilot.press("j", "j")
        assert "go to L2H2" in "\n".join(screen_lines(app)), "its own: the row names no other"
        await pilot.press("k", "enter")
        await pilot.pause()
        assert app.said == [("go", "L1H3"), ("closed", (2, 2))]
        assert not isinstance(app.screen, HeadCard)


async def test_a_click_moves_and_a_double_click_goes() -> None:
    app = Below()
    async with app.run_test(size=(100, 40)) as pilot:
        app.show(facts(SCORES, FED))
        await pilot.pause()
        await pilot.click(app.card.facts, offset=(2, 8))
        await pilot.pause(0.6)
        assert not app.said
        await pilot.click(app.card.facts, offset=(2, 8), times=2)
        await pilot.pause()
        assert app.said[0] == ("go", "L1H3")


async def test_keys_of_one_packet_are_taken_in_their_order() -> None:
    """Whatever has the focus by then: the card, the note's field, or what is below."""
    for keys, said in (
        (["j", "enter", "b"], [("go", "L1H3"), ("closed", (2, 2))]),
        (["b", "b", "escape", "b"], [("bookmark", (2, 2)), ("bookmark", (2, 2)), ("closed", (2, 2))]),
        (["j", "i", "b", "i", "j"], []),
        (["end", "home", "enter"], [("go", "L0H1"), ("closed", (2, 2))]),
    ):
        for focused in (True, False):
            app = Below()
            async with app.run_test(size=(80, 24)) as pilot:
                app.show(facts(FED), attention(5), "ex")
                await pilot.pause()
                if not focused:
                    app.card.set_focus(None)
                burst(app, keys)
                await taken(app, pilot)
                assert app.said == said, keys
                if "i" in keys:
                    assert isinstance(app.screen, Ask)
                    assert app.screen.query_one(Input).value == "exbij", "after the note there was"


async def test_keys_that_come_with_the_one_that_opened_it() -> None:
    app = Below(opened=False)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(app.card)
        app.show(facts(FED))
        burst(app, ["i", "o", "k"])
        await taken(app, pilot)
        await pilot.press("enter")
        await taken(app, pilot)
        assert app.said == [("noted", (2, 2), "ok")]


async def test_a_note_is_written_changed_and_taken_away() -> None:
    app = Below()
    async with app.run_test(size=(80, 24)) as pilot:
        app.show(facts(SCORES))
        await pilot.press("i", *"an", "space", "[", "b", "]", "enter")
        await pilot.pause()
        assert app.said.pop() == ("noted", (2, 2), "an [b]")
        assert isinstance(app.screen, HeadCard), "the question is gone, the card stays"
        app.show(facts(SCORES), None, "an [b]\nof two lines")
        await pilot.pause()
        assert "note  an [b] of two lines" in "\n".join(screen_lines(app))
        await pilot.press("i", "escape")
        assert not app.said
        await pilot.press("i", "ctrl+u", "enter")
        await pilot.pause()
        assert app.said == [("noted", (2, 2), "")]


async def test_a_long_note_has_three_lines_and_an_end() -> None:
    app = Below()
    async with app.run_test(size=(60, 24)) as pilot:
        app.show(facts(SCORES), None, "\x1b[31mwords " * 60)
        await pilot.pause()
        lines = [line.strip() for line in screen_lines(app)]
        first = next(i for i, line in enumerate(lines) if line.startswith("note"))
        assert lines[first + 2].endswith("…")
        assert lines[first + 3].startswith("i note")
        assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_why_a_note_is_not_kept_stands_under_it_until_it_is(size: tuple[int, int]) -> None:
    app = Below()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.show(facts(SCORES), None, "early", said="The note cannot be kept in /here/a.json: make room.")
        await pilot.pause()
        (at,) = (at for at, line in enumerate(screen_lines(app)) if "note  early" in line)
        assert "The note cannot be kept in /here/a.json" in screen_lines(app)[at + 1]
        assert "esc close" in screen_lines(app)[at + 2], "the keys are where they were"
        app.show(facts(SCORES), None, "early")
        await pilot.pause()
        assert "cannot be kept" not in "".join(screen_lines(app))
