"""The explorer driven by keys, on recorded results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input

from tests.app import recorded
from tests.app.driving import drawn, driven, notice, pressed, settled, text_of, until
from tests.app.recorded import RecordedBench
from tui import needs
from tui.engine.jobs import OV, QK, Job, Pattern, Residual, Target, Tokenize
from tui.explorer import Explorer
from tui.pages.pattern import PatternLook
from tui.pages.residual import FlowLook
from tui.results import Gallery, Grid
from tui.views.ask import Ask
from tui.views.heatmap import Heatmap
from tui.views.help import Help
from tui.views.model_tree import ModelTree
from tui.views.prompt import PromptInput, TokenStrip
from tui.views.status import Status


async def test_it_opens_on_the_example_with_every_convention_in_view() -> None:
    async with driven() as (explorer, _):
        assert explorer.query_one(Status).conventions == "demo · cpu · float32 · processed weights · BOS"
        assert explorer.main.heatmap.has_focus
        grid = explorer.main.heatmap.grid
        assert isinstance(grid, Grid)
        assert grid.rows.labels == ("<|bos|>", " The", " capital", " of", " France", " is")
        assert explorer.query_one(TokenStrip).predictions is not None
        assert "pattern" in text_of(explorer, "#inspector")
        assert "softmax(scaled) = pattern" in text_of(explorer, "#checks")


async def test_typing_recomputes_and_the_old_picture_stays_until_then() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        before = explorer.main.heatmap.grid
        bench.gate.clear()
        await pilot.press("i", *" in")
        await pilot.pause(0.4)
        assert explorer.main.heatmap.grid is before
        bench.gate.set()
        await settled(explorer, pilot)
        assert explorer.main.heatmap.grid is not before
        assert len(explorer.main.heatmap.grid.rows) == 7  # type: ignore[union-attr]
        texts = [job.text for job in bench.computed if isinstance(job, Tokenize)]
        assert texts == ["The capital of France is", "The capital of France is in"], "one pause, one computation"


async def test_digits_change_the_view_and_comma_comes_back() -> None:
    async with driven() as (explorer, pilot):
        views = (("2", "QK", QK), ("3", "OV", OV), ("4", "residual", Residual), ("1", "pattern", Pattern))
        for key, view, kind in views:
            await pilot.press(key)
            await settled(explorer, pilot)
            assert view in text_of(explorer, "#title")
            assert isinstance(explorer.engine.cached(kind_job(explorer, kind)), Grid)
        await pilot.press("comma")
        assert explorer.selection.page == "residual"
        await pilot.press("comma", "comma", "full_stop")
        assert explorer.selection.page == "ov"


def kind_job(explorer: Explorer, kind: type) -> Job:
    job = needs.shown(explorer.selection)
    assert isinstance(job, kind)
    return job


async def test_heads_and_layers_walk_and_the_tree_follows() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("right_curly_bracket", "right_square_bracket", "right_square_bracket")
        await settled(explorer, pilot)
        assert explorer.selection.name == "L2H1"
        node = explorer.query_one(ModelTree).cursor_node
        assert node is not None
        assert (node.data.layer, node.data.head) == (2, 1)  # type: ignore[union-attr]
        await pilot.press("left_curly_bracket", "left_square_bracket")
        assert explorer.selection.name == "L1H0"


async def test_walking_the_tree_shows_its_heads() -> None:
    async with driven() as (explorer, pilot):
        explorer.query_one(ModelTree).focus()
        await pilot.press("j", "j")
        await settled(explorer, pilot)
        assert explorer.selection.name == "L0H2"
        await pilot.press("k")
        assert explorer.selection.name == "L0H1"
        assert "L0H1" in text_of(explorer, "#title")


async def test_twenty_head_changes_while_the_worker_is_busy_compute_the_last_one_only() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("2")
        await settled(explorer, pilot)
        bench.gate.clear()
        bench.computed.clear()
        await pilot.press(*["right_curly_bracket"] * 19)
        bench.gate.set()
        await settled(explorer, pilot)
        heads = [job.head for job in bench.computed if isinstance(job, QK) and job.normalize == "none"]
        assert explorer.selection.head == 3
        assert heads[0] == 3
        assert set(heads) <= {3, 2}, "the head, and its neighbour in idle time"


async def test_the_cursor_moves_and_strip_and_inspector_follow() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "home", "k", "l")
        assert explorer.main.heatmap.cursor == (4, 1)
        assert explorer.selection.prompt_cell == (4, 1)
        strip = explorer.query_one(TokenStrip)
        assert (strip.row, strip.col) == (4, 1)
        assert "·France → ·The" in text_of(explorer, "#inspector")


async def test_a_redraw_right_after_a_key_does_not_undo_it() -> None:
    async with driven() as (explorer, pilot):
        row, col = explorer.main.heatmap.cursor
        explorer.action_cursor(-2, -1)
        explorer.draw()
        assert explorer.main.heatmap.cursor == (row - 2, col - 1)
        await pilot.pause()
        assert explorer.selection.prompt_cell == (row - 2, col - 1)


async def test_one_cursor_is_shared_by_the_views() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("k", "h", "2")
        await settled(explorer, pilot)
        assert explorer.main.heatmap.cursor == (4, 4)
        inspector = text_of(explorer, "#inspector")
        for word in ("pattern", "score", "QK", "(z ", "OV"):
            assert word in inspector


async def test_modes_cycle_through_thumbnails_and_enter_opens_one() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("m", "m", "m")
        await settled(explorer, pilot)
        assert explorer.selection.look(PatternLook).mode == "all heads"
        assert isinstance(explorer.engine.cached(needs.shown(explorer.selection)), Gallery)  # type: ignore[arg-type]
        await pilot.press("l", "enter")
        await settled(explorer, pilot)
        assert explorer.selection.name == "L0H1"
        assert explorer.selection.look(PatternLook).mode == "pattern"
        assert explorer.main.heatmap.has_focus


async def test_normalisation_form_and_basis_are_named_in_the_title() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("2", "n", "f", "b", "N", "m")
        await settled(explorer, pilot)
        assert text_of(explorer, "#title").split(" · ")[1:] == [
            "QK token×pos", "scaled", "centered/vocabulary", "normed"]  # fmt: skip


async def test_impossible_choices_say_why() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("2", "b", "b")
        assert "layer 0" in notice(explorer)
        await pilot.press("o")
        assert "no rotary" in notice(explorer)
        await pilot.press("escape")
        assert notice(explorer) == ""


async def test_a_token_list_of_ones_own() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("3", "t")
        await pilot.pause()
        assert isinstance(explorer.app.screen, Ask)
        await pilot.press(*"Zanzibar", "enter")
        await until(pilot, lambda: explorer.app.screen.query_one("#ask-problem").display)
        assert explorer.app.screen.query_one(Input).value == "Zanzibar", "nothing lost"
        explorer.app.screen.query_one(Input).value = "king, queen, Paris"
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(explorer.app.screen, Ask))
        await settled(explorer, pilot)
        assert explorer.main.heatmap.grid.rows.labels == (" king", " queen", " Paris")  # type: ignore[union-attr]
        await pilot.press("t", "ctrl+u", "enter")
        await settled(explorer, pilot)
        assert len(explorer.main.heatmap.grid.rows) == 6, "an empty list is the prompt again"  # type: ignore[union-attr]


async def test_the_answer_is_chosen_by_word() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("4", "A", *"Paris - London", "enter")
        await settled(explorer, pilot)
        assert explorer.selection.target == Target((6,), (7,))
        assert explorer.selection.look(FlowLook).measure == "answer"


async def test_append_takes_the_prediction_after_the_last_position() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("k", "k", "ctrl+n")
        await settled(explorer, pilot)
        assert explorer.selection.text == "The capital of France is in"
        assert explorer.query_one(PromptInput).value == explorer.selection.text


async def test_a_predicted_byte_is_not_appended_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "WORDS", [*recorded.WORDS[:-1], "<0x81>"])
    async with driven() as (explorer, pilot):
        await pilot.press("ctrl+n")
        assert "part of a character" in notice(explorer)
        assert explorer.query_one(PromptInput).value == "The capital of France is"


async def test_the_mlp_in_the_tree_is_a_row_of_the_residual_view() -> None:
    async with driven() as (explorer, pilot):
        explorer.query_one(ModelTree).focus()
        await pilot.press("j", "j", "j", "j")
        await settled(explorer, pilot)
        assert explorer.selection.page == "residual"
        grid = explorer.main.heatmap.grid
        assert grid is not None
        assert grid.rows.labels[explorer.main.heatmap.cursor[0]] == "L0.mlp"


async def test_the_history_is_on_up_and_down_and_keeps_the_draft() -> None:
    async with driven() as (explorer, pilot):
        field = explorer.query_one(PromptInput)
        await pilot.press("i", *" Rome", "enter", "i", *" in", "up", "up")
        remembered = field.value
        await pilot.press("down", "down")
        assert remembered.endswith(" Rome")
        assert field.value.endswith(" Rome in")


async def test_help_lists_every_command_and_runs_one() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(explorer.app.screen, Help)
        await pilot.press(*"view 3", "enter")
        await settled(explorer, pilot)
        assert explorer.selection.page == "ov"


async def test_the_palette_jumps_to_a_head() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("colon", *"L2H3")
        await pilot.pause(0.4)
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.name == "L2H3")
        await pilot.press("colon", *"L7H0", "enter")
        await until(pilot, lambda: "there is no L7H0" in notice(explorer))
        assert explorer.selection.name == "L2H3"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_sources_is_a_page_that_its_key_leaves_and_1_is_the_pattern(size: tuple[int, int]) -> None:
    async with driven(size=size) as (explorer, pilot):
        for keys, page, words in (
            ("S", "sources", "sources · toward"), ("S", "pattern", "L0H0 · pattern"),
            ("S1", "pattern", "L0H0 · pattern"), ("2S", "sources", "sources · toward"),
            ("2S1", "pattern", "L0H0 · pattern"), ("mS", "sources", "sources"), ("S", "pattern", "L0H0 · scores"),
        ):  # fmt: skip
            await pressed(explorer, pilot, *keys)
            assert explorer.selection.page == page, keys
            assert words in text_of(explorer, "#title"), keys
            assert drawn(explorer).header.view == page, keys


@pytest.mark.parametrize("keys", [("7",), ("8", "right_square_bracket", "right_square_bracket"), ("6",)])
@pytest.mark.parametrize("before", [(), ("S",), ("m", "m", "m"), ("S", "S", "S")])
async def test_enter_on_a_head_is_its_pattern(before: tuple[str, ...], keys: tuple[str, ...]) -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, *before, *keys, "enter")
        assert explorer.selection.page == "pattern"
        name = explorer.selection.name
        assert text_of(explorer, "#title") == f" {name} · pattern"
        assert (drawn(explorer).header.view, drawn(explorer).header.head) == ("pattern", name)


async def test_the_direct_path_and_back_to_a_head() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("0")
        await settled(explorer, pilot)
        assert "direct path" in text_of(explorer, "#title")
        await pilot.press("2")
        await settled(explorer, pilot)
        assert "no head is selected" in explorer.main.heatmap.message
        await pilot.press("right_curly_bracket")
        await settled(explorer, pilot)
        assert explorer.selection.name == "L0H0"


async def test_a_job_that_raises_leaves_the_app_alive_with_the_sentence() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        bench.broken = OV
        await pilot.press("3")
        await settled(explorer, pilot)
        assert notice(explorer) == "", "a neighbour that fails in idle time is nobody's business yet"
        await pilot.press("right_curly_bracket")
        await until(pilot, lambda: "broken on purpose" in explorer.main.heatmap.message)
        assert "Press 1 for another view." in explorer.main.heatmap.message
        await pilot.press("1", "right_curly_bracket")
        await settled(explorer, pilot)
        assert explorer.main.heatmap.grid.header.head == "L0H2"  # type: ignore[union-attr]


async def test_a_model_that_cannot_be_opened_leaves_the_old_one() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("M", *"nowhere", "enter")
        await until(pilot, lambda: "no model called nowhere" in notice(explorer))
        assert explorer.selection.model is not None
        await pilot.press("right_curly_bracket")
        await settled(explorer, pilot)
        assert explorer.main.heatmap.grid.header.head == "L0H1"  # type: ignore[union-attr]


async def test_a_first_load_that_fails_says_how_to_choose_another_model() -> None:
    async with driven(model="nowhere") as (explorer, pilot):
        await until(pilot, lambda: "press M" in explorer.main.heatmap.message)
        await pilot.press("M", *"demo", "enter")
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        assert isinstance(explorer.main.heatmap.grid, Grid)


async def test_what_is_typed_while_the_model_loads_is_kept() -> None:
    bench = RecordedBench()
    bench.gate.clear()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("i", *" in Rome")
        await pilot.pause(0.3)
        bench.gate.set()
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        assert explorer.selection.text == "The capital of France is in Rome"
        assert len(explorer.selection.tokens or ()) == 8


async def test_a_prompt_that_is_too_long_is_refused_and_stays_to_be_shortened() -> None:
    async with driven() as (explorer, pilot):
        before = explorer.main.heatmap.grid
        long = "word " * 2000
        explorer.query_one(PromptInput).value = long
        await until(pilot, lambda: "reads at most 60" in notice(explorer))
        assert explorer.query_one(PromptInput).value == long
        assert explorer.main.heatmap.grid is before
        explorer.query_one(PromptInput).value = "Rome is"
        await settled(explorer, pilot)
        await until(pilot, lambda: notice(explorer) == "")
        assert len(explorer.selection.tokens or ()) == 3


async def test_a_paste_of_ten_thousand_characters_in_many_lines_is_kept_whole() -> None:
    async with driven() as (explorer, pilot):
        text = "word\r\n" * 1500 + "\x1b[31mend\n"
        await pilot.press("i", "ctrl+u")
        await settled(explorer, pilot)
        before = explorer.main.heatmap.grid
        explorer.app.post_message(events.Paste(text))
        await until(pilot, lambda: "reads at most 60" in notice(explorer))
        assert explorer.query_one(PromptInput).prompt == text.replace("\r\n", "\n")
        assert explorer.main.heatmap.grid is before
        await pilot.press("ctrl+u", *"Rome")
        await until(pilot, lambda: len(explorer.selection.tokens or ()) == 2)
        assert notice(explorer) == ""


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "[bold]markup[/bold] [/]",
    "日本語 トークン",
    "⏰ ✅ 👩‍👩‍👧",
    "e\u0301 \u200f \u0e33",
    "\t\x07\x00",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_drawn_as_text(text: str) -> None:
    async with driven(size=(80, 24), prompt=text) as (explorer, pilot):
        for key in "1234":
            await pilot.press(key)
            await settled(explorer, pilot)
        shot = explorer.app.export_screenshot()
        assert "\x1b" not in shot
        assert explorer.app.is_running


async def test_export_writes_what_is_shown_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        await pilot.press("2")
        await settled(explorer, pilot)
        await pilot.press("e", "enter")
        await until(pilot, lambda: "written" in notice(explorer))
        path = tmp_path / "circuit-tui-qk-L0H0.json"
        assert str(path) in notice(explorer)
        values = json.loads(path.read_text())["values"]
        assert len(values) == 6
        await pilot.press("e", "enter")
        await until(pilot, lambda: "L0H0-2.json" in notice(explorer))


async def test_export_without_room_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tui.export.write", refuse)
        await pilot.press("e", "enter")
        await until(pilot, lambda: "No space left" in notice(explorer))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (120, 40), (250, 70)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    async with driven(size=size) as (explorer, pilot):
        for key in ("2", "3", "4", "p", "p", "question_mark", "escape", "m"):
            await pilot.press(key)
            await pilot.pause()
        await pilot.resize_terminal(100, 30)
        await settled(explorer, pilot)
        assert explorer.app.is_running


async def test_q_leaves() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("q")
        await pilot.pause()
        assert not explorer.app.is_running


async def test_keys_can_be_remapped() -> None:
    async with driven(keys={"view_ov": "v"}) as (explorer, pilot):
        await pilot.press("v")
        await settled(explorer, pilot)
        assert explorer.selection.page == "ov"


async def test_keys_stay_commands_when_the_panel_covers_the_picture() -> None:
    async with driven(size=(80, 24)) as (explorer, pilot):
        text = explorer.query_one(PromptInput).value
        await pilot.press("3", "p", "t")
        await pilot.pause(0.2)
        await pilot.press("escape", "j", "j", "question_mark", "escape")
        await settled(explorer, pilot)
        assert explorer.query_one(PromptInput).value == text
        await pilot.press("2")
        await settled(explorer, pilot)
        assert explorer.query_one("#view").display, "a view's key brings its picture back"
        assert explorer.main.heatmap.has_focus


async def test_what_is_typed_before_a_question_is_drawn_is_its_answer() -> None:
    async with driven() as (explorer, pilot):
        burst(explorer, "Onowhere")
        await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
        await pilot.pause(0.2)
        assert explorer.app.screen.query_one(Input).value == "nowhere"


async def test_keys_that_arrive_together_are_taken_in_their_order() -> None:
    async with driven() as (explorer, pilot):
        burst(explorer, "i in Rome")
        await settled(explorer, pilot)
        assert explorer.query_one(PromptInput).value == "The capital of France is in Rome"
        assert explorer.selection.page == "pattern"


def burst(explorer: Explorer, text: str) -> None:
    """Keys as a slow link delivers them: several before the first has been looked at."""
    for character in text:
        name = "space" if character == " " else character
        explorer.app.post_message(events.Key(name, character))


async def test_an_unknown_theme_is_said_and_stays_said() -> None:
    async with driven(theme="nope") as (explorer, pilot):
        await pilot.pause(0.1)
        assert "no theme 'nope'" in notice(explorer)


async def test_the_small_screen_shows_one_pane_at_a_time() -> None:
    async with driven(size=(80, 24)) as (explorer, pilot):
        panel, view = explorer.query_one("#panel"), explorer.query_one("#view")
        assert not panel.display
        await pilot.press("p")
        await settled(explorer, pilot)
        assert panel.display
        assert not view.display
        await pilot.press("escape")
        await pilot.pause()
        assert view.display
        assert explorer.query_one(Heatmap).has_focus
