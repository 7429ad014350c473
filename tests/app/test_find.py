"""Finding heads and tokens, driven by keys on recorded results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Input

from tests.app.driving import drawn, driven, notice, pasted, pressed, settled, text_of, until
from tests.app.recorded import RecordedBench
from tui import tree
from tui.engine.jobs import Composition, CopyingScores, HeadScores, PairSearch, Partners, Repeats, TopPairs
from tui.explorer import Explorer
from tui.names import head_at
from tui.pages.scores import ScoresLook
from tui.pages.svd import SVDLook
from tui.results import Table, frozen
from tui.views.chart import Bars, Plot
from tui.views.head_card import HeadCard
from tui.views.model_tree import ModelTree


async def test_scores_of_all_heads_are_a_picture_and_a_ranked_list() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "7")
        assert "all heads · induction · on repeated random tokens" in text_of(explorer, "#title")
        grid, table = drawn(explorer), explorer.panel.bars.table
        assert (grid.rows.labels, grid.cols.labels) == (("L0", "L1", "L2", "L3"), ("H0", "H1", "H2", "H3"))
        assert isinstance(table, Table)
        best = {row[0]: row[1] for row in table.rows}
        assert best["L2H1"] == grid.values[2, 1]
        assert table.rows[0][1] == grid.values.max()


async def test_every_score_by_m_and_the_cursor_is_a_head() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "7", "j", "l")
        assert explorer.selection.name == "L1H1"
        names = []
        for _ in range(8):
            names.append(text_of(explorer, "#title").split(" · ")[1])
            await pressed(explorer, pilot, "m")
        assert len(set(names)) == 8
        assert {"copying", "OV top 1", "previous token", "entropy"} <= set(names)
        await pressed(explorer, pilot, "enter")
        assert (explorer.selection.page, explorer.selection.name) == ("pattern", "L1H1")


async def test_scores_on_the_prompt_and_the_missing_file_says_so() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "7", "u")
        assert "on this prompt" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "u")
        assert "O opens one" in notice(explorer)
        assert explorer.selection.look(ScoresLook).on == "repeats"


@pytest.mark.parametrize(("strongest", "said"), [(0.0999, True), (0.1001, False)])
async def test_scores_that_are_nearly_nothing_do_not_glow_and_are_said(strongest: float, said: bool) -> None:
    class Faint(RecordedBench):
        def _headscores(self, job: HeadScores) -> Any:
            grid = super()._headscores(job)
            return replace(grid, values=frozen(grid.values * strongest / grid.values.max(0)))

    async with driven(bench=Faint()) as (explorer, pilot):
        await pressed(explorer, pilot, "7")
        assert text_of(explorer, "#explanation").startswith(" no head above 0.1") == said
        assert drawn(explorer).limits == (0.0, 1.0), "on the scale of a share, not on their own maximum"
        table = explorer.panel.bars.table
        assert table is not None
        assert table.limits == (0.0, 1.0), "and the bars beside it"
        await pressed(explorer, pilot, "m")
        while "entropy" not in text_of(explorer, "#title"):
            await pressed(explorer, pilot, "m")
        assert "no head" not in text_of(explorer, "#explanation"), "an entropy is no share"


async def test_labels_are_computed_last_and_copying_only_when_it_is_looked_at() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        assert isinstance(bench.computed[-1], HeadScores), "in idle time"
        assert not any(isinstance(job, CopyingScores) for job in bench.computed)
        await pressed(explorer, pilot, "7", "m", "m", "m")
        assert any(isinstance(job, CopyingScores) for job in bench.computed)


async def test_the_random_tokens_are_set_by_hand() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("7", "R")
        await pilot.pause(0.1)
        assert explorer.app.screen.query_one(Input).value == "seed=0 rows=8 length=auto"
        explorer.app.screen.query_one(Input).value = "seed=7 length=900"
        await pilot.press("enter")
        await until(pilot, lambda: explorer.app.screen.query_one("#ask-problem").display)
        explorer.app.screen.query_one(Input).value = "seed=7 length=9"
        await pressed(explorer, pilot, "enter")
        assert HeadScores(explorer.selection.key, Repeats(7, 8, 9, True)) in bench.computed  # type: ignore[arg-type]


async def test_one_line_finds_the_heads_that_tie_pairs_together() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("slash", *"France>Paris, king>queen", "enter")
        await until(pilot, lambda: explorer.selection.look(ScoresLook).pairs is not None)
        await settled(explorer, pilot)
        assert explorer.selection.page == "heads"
        assert "embed QK · mean z of France>Paris, king>queen" in text_of(explorer, "#title")
        table = explorer.panel.bars.table
        assert isinstance(table, Table)
        assert table.columns[:4] == ("head", "mean z", "worst z", "mean rank")
        explorer.panel.bars.focus()
        await pressed(explorer, pilot, "enter")
        assert explorer.selection.page == "qk", "one key from its heatmap"
        assert explorer.selection.name == table.rows[0][0]
        assert drawn(explorer).rows.labels == (" France", " Paris", " king", " queen")
        await pressed(explorer, pilot, "comma", "m")
        assert "embed OV" in text_of(explorer, "#title")


@pytest.mark.parametrize("text", ["France", "France>", "France>Zanzibar", ">", "a>b>c"])
async def test_a_pair_that_is_none_is_said_and_what_was_there_stays(text: str) -> None:
    async with driven() as (explorer, pilot):
        before = drawn(explorer)
        await pilot.press("slash")
        await pasted(pilot, text)
        await pilot.press("enter")
        await until(pilot, lambda: explorer.app.screen.query_one("#ask-problem").display)
        assert explorer.app.screen.query_one(Input).value == text
        await pressed(explorer, pilot, "escape")
        assert drawn(explorer) is before


async def test_an_empty_search_ends_it() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("slash")
        await pasted(pilot, "France>Paris")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.look(ScoresLook).pairs is not None)
        await pilot.press("slash", "ctrl+u", "enter")
        await settled(explorer, pilot)
        assert explorer.selection.look(ScoresLook).pairs is None
        assert explorer.selection.look(ScoresLook).score == "induction"


async def test_the_strongest_pairs_of_a_head_and_from_one_to_its_heatmap() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "V")
        assert isinstance(explorer.main.picture, Bars)
        assert "strongest OV pairs" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "m", "j")
        assert "strongest QK pairs" in text_of(explorer, "#title")
        assert text_of(explorer, "#inspector") == " ·is → ·London   QK 8.00"
        await pressed(explorer, pilot, "enter")
        assert explorer.selection.page == "qk"
        assert len(drawn(explorer).rows) == 2


async def test_tokens_of_a_search_are_filtered() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "V")
        await pilot.press("semicolon", *"4+ /(/", "enter")
        await until(pilot, lambda: explorer.app.screen.query_one("#ask-problem").display)
        explorer.app.screen.query_one(Input).value = "4+ /ing/ same"
        await pressed(explorer, pilot, "enter")
        last = [job for job in bench.computed if isinstance(job, TopPairs)][-1]
        assert (last.filter.same, last.filter.shortest, last.filter.pattern) == (False, 4, "ing")
        assert "filter 4+ /ing/ same" in text_of(explorer, "#title")


async def test_a_search_is_stopped_with_esc_and_keeps_what_it_found() -> None:
    class Slow(RecordedBench):
        def compute(self, job: Any, ctx: Any) -> Any:
            value = super().compute(job, ctx)
            if isinstance(job, TopPairs):
                ctx.partial(replace(value, rows=value.rows[:3]))
                self.gate.clear()
                while not self.gate.wait(0.01):
                    ctx.check()
            return value

    bench = Slow()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("V")
        await until(pilot, lambda: explorer.main.bars.table is not None and explorer.main.bars.display)
        assert len(explorer.main.bars.table.rows) == 3  # type: ignore[union-attr]
        await pilot.press("escape")
        await pilot.pause(0.2)
        assert "stopped" in notice(explorer)
        assert len(explorer.main.bars.table.rows) == 3  # type: ignore[union-attr]
        bench.gate.set()
        await pressed(explorer, pilot, "1")
        assert explorer.selection.page == "pattern"


async def test_partners_and_nearest_tokens_are_side_panels_of_the_circuits() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "2", "p")
        assert str(explorer.panel.border_title).endswith("L0H0: ·is seeks")
        await pressed(explorer, pilot, "h", "p")
        assert str(explorer.panel.border_title).endswith("L0H0: ·France is sought by")
        await pressed(explorer, pilot, "p")
        assert str(explorer.panel.border_title).endswith("nearest to ·is in W_E")
        await pressed(explorer, pilot, "3", "p")
        sides = [job.side for job in bench.computed if isinstance(job, Partners)]
        assert sides[:2] == ["query", "key"]


async def test_composition_of_both_directions_and_jumping_along_it() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "8")
        assert "No head comes before layer 0." in explorer.main.heatmap.message or "No head" in notice(explorer)
        await pressed(explorer, pilot, "right_square_bracket", "right_square_bracket")
        assert "heads that feed the key of L2H0" in text_of(explorer, "#title")
        assert drawn(explorer).rows.labels == ("L0", "L1")
        await pressed(explorer, pilot, "j", "l", "enter")
        assert (explorer.selection.page, explorer.selection.name) == ("pattern", "L1H1")
        await pressed(explorer, pilot, "8", "u", "m")
        assert "heads whose value L1H1 feeds" in text_of(explorer, "#title")
        job = [job for job in bench.computed if isinstance(job, Composition)][-1]
        assert (job.kind, job.direction) == ("v", "into")


async def test_the_circuit_through_two_heads() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "8", "right_square_bracket", "l", "l", "X")
        assert "L0H2 → L1H0 · virtual QK, key side" in text_of(explorer, "#title")
        assert drawn(explorer).rows.labels[1] == " The"
        await pressed(explorer, pilot, "m")
        assert "virtual OV" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "X")
        assert "z, processed weights" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "X", "1", "8")
        assert "z, processed weights" in text_of(explorer, "#title"), "8 is the picture of heads"


async def test_a_path_out_of_order_says_what_to_do() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "8", "X")
        assert "cursor on a head of another layer" in explorer.main.heatmap.message
        await pressed(explorer, pilot, "1", "X")
        assert "virtual heads are in Compose" in notice(explorer)


async def test_singular_directions_are_walked_and_read_as_tokens() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "D")
        assert isinstance(explorer.main.picture, Plot)
        await pressed(explorer, pilot, "j", "j")
        assert explorer.selection.look(SVDLook).index == 2
        assert "direction 2 of 32" in text_of(explorer, "#inspector")
        assert str(explorer.panel.border_title).endswith("L0H0: direction 2")
        assert explorer.panel.bars.table.columns == ("side", "token", "value")  # type: ignore[union-attr]
        await pressed(explorer, pilot, *["k"] * 5, "m")
        assert explorer.selection.look(SVDLook).index == 0


async def test_a_model_change_forgets_the_pairs() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("slash")
        await pasted(pilot, "France>Paris")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.look(ScoresLook).pairs is not None)
        await settled(explorer, pilot)
        await pilot.press("M", "ctrl+u", *"other", "enter")
        await until(pilot, lambda: explorer.selection.open.source == "other" and explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        assert explorer.selection.look(ScoresLook).pairs is None


async def test_searches_follow_the_weights() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("slash")
        await pasted(pilot, "France>Paris")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.look(ScoresLook).pairs is not None)
        await pressed(explorer, pilot, "w", "b")
        jobs = [job for job in bench.computed if isinstance(job, PairSearch)]
        assert (jobs[-1].weights, jobs[-1].basis) == ("raw", "normed")


def tree_lines(explorer: Explorer) -> str:
    view = explorer.query_one(ModelTree)
    return "\n".join(view.render_line(y).text for y in range(view.size.height))


async def test_the_tree_says_what_the_heads_are_and_is_sorted_and_filtered() -> None:
    async with driven() as (explorer, pilot):
        await until(pilot, lambda: "ind 1.00" in tree_lines(explorer) or "ind 0." in tree_lines(explorer))
        await pressed(explorer, pilot, "L")
        order = explorer.query_one(ModelTree)
        first = tree_lines(explorer).splitlines()[0]
        scores = explorer.engine.cached(HeadScores(explorer.selection.key, Repeats()))  # type: ignore[arg-type]
        best = scores.rows.labels[int(scores.values[:, 2].argmax())]
        assert best in tree_lines(explorer), first
        await pilot.press("semicolon", *"dup>0.9", "enter")
        await settled(explorer, pilot)
        shown = tree_lines(explorer)
        assert "no head" not in shown
        assert best not in shown or finding_label(explorer, best) == "dup"
        await pilot.press("semicolon", "ctrl+u", *"nothing", "enter")
        await settled(explorer, pilot)
        assert "no head matches" in tree_lines(explorer)
        await pilot.press("semicolon", "ctrl+u", "enter", "L")
        await settled(explorer, pilot)
        assert "direct path" in tree_lines(explorer)
        assert order.is_attached


def finding_label(explorer: Explorer, name: str) -> str:
    """What the head is labelled as where the tree is by layer."""
    scores = explorer.engine.cached(HeadScores(explorer.selection.key, Repeats()))  # type: ignore[arg-type]
    at = head_at(name)
    assert at is not None
    return tree.label_texts(scores).get(at, "").split(" ")[0]


async def test_the_card_of_a_head_has_all_about_it_and_leads_on() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "right_square_bracket", "C")
        card = explorer.app.screen
        assert isinstance(card, HeadCard)
        await until(pilot, lambda: card.facts.table is not None and len(card.facts.table.rows) > 20)
        assert card.facts.table is not None
        sections = {str(row[0]) for row in card.facts.table.rows}
        assert sections == {"scores, share", "scores, nats", "copying, share", "copying, −1…1", "OV pairs, logit",
                            "QK pairs, score", *(f"{way} ({kind}), z" for kind in "QKV" for way in ("fed by", "feeds"))
                            }  # fmt: skip
        assert card.pattern.grid is not None
        names = [str(row[0]) for row in card.facts.table.rows]
        await pilot.press(*["j"] * names.index("fed by (K), z"))
        there = str(card.facts.table.rows[names.index("fed by (K), z")][1])
        await pilot.press("enter")
        await until(pilot, lambda: explorer.app.screen is explorer)
        await settled(explorer, pilot)
        assert explorer.selection.name == there
        assert not explorer.cards.needs(), "nothing more is computed for it"


async def test_notes_and_bookmarks_stay_with_the_model() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "right_curly_bracket", "C")
        await pilot.press("b", "i", *"moves names", "enter")
        cards = explorer.cards
        await until(pilot, lambda: "L0H1" in cards.notes and cards.notes["L0H1"].text == "moves names")
        await pilot.press("escape")
        await until(pilot, lambda: explorer.app.screen is explorer)
        assert explorer.cards.notes["L0H1"].bookmarked
        await until(pilot, lambda: "★" in tree_lines(explorer))
    async with driven(fresh=True) as (explorer, pilot):
        assert explorer.cards.notes["L0H1"].text == "moves names", "another run knows it"
        await pressed(explorer, pilot, "right_curly_bracket", "C")
        await pilot.press("b", "i", "ctrl+u", *["backspace"] * 12, "enter")
        await until(pilot, lambda: "L0H1" not in explorer.cards.notes)


async def test_a_note_that_cannot_be_kept_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven() as (explorer, pilot):
        monkeypatch.setattr("tui.notes.write", lambda *args: "The note cannot be kept (no space).")
        await pressed(explorer, pilot, "C")
        await pilot.press("b", "escape")
        await until(pilot, lambda: "cannot be kept" in notice(explorer))
        assert explorer.cards.notes["L0H0"].bookmarked, "on the screen it stays"


async def test_without_a_head_there_is_no_card() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "0", "C")
        assert "no head is selected" in notice(explorer)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (120, 40)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    async with driven(size=size) as (explorer, pilot):
        keys = "7 m p 8 right_square_bracket X X V p j D j p L L C escape"
        for key in keys.split():
            await pilot.press(key)
            await pilot.pause()
        await settled(explorer, pilot)
        assert explorer.app.is_running
