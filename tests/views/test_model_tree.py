"""The tree of heads: words beside them, stars, orders of one's own, and what each costs on the wire."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from textual.app import ComposeResult

from tests.views.apps import Frugal, burst, count_bytes, quiet, screen_lines, taken
from tui.text import width
from tui.views.model_tree import MARK, Head, ModelTree, Place, fitted


class Forest(Frugal):
    """The tree as the explorer lays it out: ``wide`` from 100 columns on, else narrow, with a scroll bar of one
    column."""

    CSS = """
    #tree { width: 22; height: 1fr; border: round $border; scrollbar-size-vertical: 1; }
    .small #tree { width: 15; border: none; border-right: solid $border; }
    """
    BINDINGS = [("j", "move(1)"), ("k", "move(-1)")]

    def __init__(self, small: bool = True, shape: tuple[int, int] = (4, 4)) -> None:
        super().__init__()
        self.small, self.shape = small, shape
        self.said: list[Place] = []

    def compose(self) -> ComposeResult:
        self.screen.set_class(self.small, "small")
        yield ModelTree()

    def on_mount(self) -> None:
        self.tree.build(*self.shape, True)
        self.tree.point(0, 0)

    def on_model_tree_chosen(self, message: ModelTree.Chosen) -> None:
        """The explorer shows the head and points the tree at it."""
        self.said.append(message.place)
        if message.place.layer is not None and message.place.head is not None:
            self.tree.point(message.place.layer, message.place.head)

    def action_move(self, down: int) -> None:
        (self.tree.action_cursor_down if down > 0 else self.tree.action_cursor_up)()

    @property
    def tree(self) -> ModelTree:
        return self.query_one(ModelTree)

    @property
    def at(self) -> Place | None:
        node = self.tree.cursor_node
        return node.data if node is not None and not self.tree.has_class("astray") else None

    def lines(self) -> list[str]:
        """The lines of the tree as far as they are seen."""
        columns = self.tree.scrollable_content_region.width
        return [self.tree.render_line(y).crop(0, columns).text for y in range(self.tree.size.height)]

    def line(self, name: str) -> str:
        return next(line for line in self.lines() if f" {name}" in line or f"{MARK}{name}" in line)


def some_words(heads: Sequence[Head]) -> dict[Head, str]:
    return {head: f"ind 0.{i:02}" for i, head in enumerate(heads)}


@pytest.mark.parametrize(("small", "height"), [(True, 24), (False, 40), (False, 14)])
async def test_words_stand_at_the_right_and_never_overflow(small: bool, height: int) -> None:
    app = Forest(small)
    async with app.run_test(size=(80, height)) as pilot:
        labels = {(0, 1): "prev 0.98", (0, 2): "a very long label 0.5", (0, 3): "日本語 0.25", (1, 0): "no number here"}
        app.tree.label(labels, {(0, 1), (0, 3)})
        await pilot.pause()
        columns = app.tree.scrollable_content_region.width
        assert columns == {(True, 24): 13, (False, 40): 20, (False, 14): 19}[small, height]
        assert app.line("H1") == "├★H1" + ("prev .98" if small else "prev 0.98").rjust(columns - 4)
        assert app.line("H0").rstrip() == "├ H0"
        for name, start in (("H2", "├ H2 a "), ("H3", "├★H3 ")):
            assert app.line(name).startswith(start)
            assert cell_len(app.line(name).rstrip()) == columns
        assert app.line("H2").endswith(" .5" if small else " 0.5")
        assert not app.tree.show_horizontal_scrollbar
        app.tree.label({}, set())
        await pilot.pause()
        assert app.line("H1").rstrip() == "├ H1"


@pytest.mark.parametrize("words", ["ind 0.94", "induction 0.94", "copy −0.31", "0.94", "attention", "", "日本語 0.9"])
def test_words_are_cut_before_the_number(words: str) -> None:
    for room in range(-2, 30):
        for brief in (False, True):
            text = fitted(words, room, brief)
            assert width(text) <= max(0, room)
            if room >= width(words):
                assert text == (words.replace("0.", ".") if brief else words)
    assert [fitted("ind 0.94", room, True) for room in range(8)] == ["", "…", "i…", "in…", "ind…", "i .94", "in .94",
                                                                     "ind .94"]  # fmt: skip
    assert fitted("induction 0.94", 9) == "indu 0.94"


async def test_words_leave_the_tree_and_the_cursor_alone() -> None:
    app = Forest()
    async with app.run_test(size=(80, 24)) as pilot:
        app.tree.point(2, 3)
        await pilot.pause()
        nodes, at, top = list(app.tree.root.children), app.at, app.tree.scroll_offset
        app.tree.label(some_words([(layer, head) for layer in range(4) for head in range(4)]), {(2, 3)})
        await pilot.pause()
        assert list(app.tree.root.children) == nodes
        assert (app.at, app.tree.scroll_offset) == (at, top) == (Place(2, 3), top)
        assert sum(MARK in line for line in app.lines()) == 1
        assert not app.said


async def test_labels_send_the_lines_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    app, sent, words = Forest(), count_bytes(monkeypatch), some_words([(0, head) for head in range(4)])
    async with app.run_test(size=(80, 16)) as pilot:
        await quiet(pilot, sent)
        app.tree.label(words, set())
        assert 0 < await quiet(pilot, sent) < 1000
        app.tree.label(dict(words), set())
        assert not await quiet(pilot, sent), "the same again"
        app.tree.label(words | {(3, 3): "prev 0.9"}, {(3, 2)})
        assert not await quiet(pilot, sent), "out of sight"
        app.tree.label(words | {(0, 2): "prev 0.9"}, {(0, 0)})
        assert 0 < await quiet(pilot, sent) < 500, "two lines"


async def test_labels_of_a_folded_layer_are_there_when_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    app, sent = Forest(), count_bytes(monkeypatch)
    async with app.run_test(size=(80, 24)) as pilot:
        app.tree.root.children[1].collapse()
        await quiet(pilot, sent)
        app.tree.label({(0, 1): "prev 0.98"}, {(0, 2)})
        assert not await quiet(pilot, sent)
        app.tree.root.children[1].expand()
        await pilot.pause()
        assert app.line("H1").endswith("prev .98")
        assert app.line("H2").startswith("├★H2")


@pytest.mark.parametrize("small", [True, False])
async def test_a_list_is_in_its_order_and_the_tree_comes_back(small: bool) -> None:
    app = Forest(small)
    async with app.run_test(size=(80, 40)) as pilot:
        tree = app.tree
        tree.point(2, 1)
        tree.label({(2, 1): "induction 0.94", (0, 3): "previous 0.9"}, {(0, 3)})
        tree.root.children[4].collapse()  # L3
        await pilot.pause()
        before = app.lines()
        tree.list_heads([(3, 0), (0, 3), (2, 1)])
        assert app.at == Place(2, 1), "at once: no frame without its cursor"
        await pilot.pause()
        shown = [line.rstrip() for line in app.lines() if line.strip()]
        assert [line.split()[0] for line in shown] == ["L3H0", "★L0H3", "L2H1"]
        assert shown[1].endswith("previ .9" if small else "previous 0.9")
        assert all(cell_len(line) <= tree.scrollable_content_region.width for line in shown)
        tree.list_heads(None)
        await pilot.pause()
        assert app.lines() == before, "with what was folded"
        assert app.at == Place(2, 1)
        assert not app.said


async def test_the_same_order_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app, sent = Forest(), count_bytes(monkeypatch)
    async with app.run_test(size=(80, 24)) as pilot:
        app.tree.list_heads([(1, 1), (0, 0)])
        await quiet(pilot, sent)
        nodes = list(app.tree.root.children)
        app.tree.list_heads(((1, 1), (0, 0)))
        assert not await quiet(pilot, sent)
        assert list(app.tree.root.children) == nodes


async def test_keys_choose_in_a_list() -> None:
    app = Forest()
    async with app.run_test(size=(80, 24)) as pilot:
        app.tree.list_heads([(3, 0), (0, 0), (2, 1)])
        app.tree.focus()
        await pilot.pause()
        assert app.at == Place(0, 0)
        await pilot.press("j")
        assert app.said == [Place(2, 1)]
        await pilot.press("k", "k", "enter")
        assert app.said == [Place(2, 1), Place(0, 0), Place(3, 0), Place(3, 0)]
        await pilot.press("down")
        assert app.at == Place(0, 0)
        burst(app, ["j", "k", "k"])
        await taken(app, pilot)
        assert app.at == Place(3, 0)
        await pilot.click(ModelTree, offset=(5, 2))
        assert app.said[-1] == app.at == Place(2, 1)


async def test_a_head_that_is_not_listed_has_no_cursor() -> None:
    """The list must not choose another head for the user, nor mark one that is not shown."""
    app = Forest()
    async with app.run_test(size=(80, 24)) as pilot:
        app.tree.focus()
        app.tree.point(3, 3)
        await pilot.pause()
        styles = {style for line in range(2) for _, style, _ in app.tree.render_line(line)}
        app.tree.list_heads([(1, 1), (2, 2)])
        await pilot.pause()
        assert app.at is None
        assert not app.said
        lines = [app.tree.render_line(y) for y in range(2)]
        assert len({style.without_color.bold for line in lines for _, style, _ in line if style}) == 1
        assert {style.bgcolor for line in lines for _, style, _ in line if style} <= {s.bgcolor for s in styles if s}
        app.tree.point(2, 2)
        await pilot.pause()
        assert app.at == Place(2, 2)
        app.tree.point(0, 0)
        await pilot.pause()
        assert app.at is None
        app.tree.list_heads([(1, 1), (3, 2)])
        await pilot.pause()
        await pilot.press("j")
        assert app.said == [Place(1, 1)], "the first key takes the first head"
        await pilot.press("j")
        assert app.said == [Place(1, 1), Place(3, 2)]


async def test_an_empty_list_says_so_and_bears_every_key() -> None:
    for small, words in ((True, "no head|matches"), (False, "no head matches")):
        app = Forest(small)
        async with app.run_test(size=(80, 24)) as pilot:
            app.tree.focus()
            app.tree.list_heads([])
            await pilot.pause()
            assert "|".join(line.strip() for line in app.lines() if line.strip()) == words
            assert words.split("|")[0] in "\n".join(screen_lines(app))
            await pilot.press("j", "k", "down", "up", "enter", "space")
            await pilot.click(ModelTree, offset=(3, 3))
            app.tree.point(1, 1)
            app.tree.label({(1, 1): "ind 0.9"}, {(1, 1)})
            await pilot.pause()
            assert not app.said
            app.tree.list_heads(None)
            await pilot.pause()
            assert app.at == Place(1, 1)


async def test_another_model_forgets_order_words_and_stars() -> None:
    app = Forest()
    async with app.run_test(size=(80, 24)) as pilot:
        app.tree.label({(0, 0): "ind 0.9"}, {(0, 1)})
        app.tree.list_heads([(0, 0), (0, 1)])
        app.tree.build(2, 2, False, {(1, 1): "prev 0.5"})
        await pilot.pause()
        assert [" ".join(line.strip("├└▼ ").split()) for line in app.lines() if line.strip()] == [
            "direct path", "L0", "H0", "H1", "L1", "H0", "H1 prev .5"]  # fmt: skip


async def test_a_tree_of_1024_heads_is_quick() -> None:
    app = Forest(shape=(32, 32))
    async with app.run_test(size=(80, 24)) as pilot:
        heads = [(layer, head) for head in range(32) for layer in range(32)]
        app.tree.point(31, 31)
        await pilot.pause()
        assert app.at == Place(31, 31)
        times = []
        for step in (lambda: app.tree.label(some_words(heads), set(heads[::3])), lambda: app.tree.list_heads(heads)):
            start = time.thread_time()  # whatever else the machine does
            step()
            times.append(time.thread_time() - start)
            await pilot.pause()
        assert times[0] < 0.05  # 0.0003 s here
        assert times[1] < 0.5  # 0.02 s
        assert app.at == Place(31, 31)
        assert any("L31H31" in line for line in app.lines()), "in sight"
        for line in app.lines():
            assert cell_len(line) <= app.tree.scrollable_content_region.width
