"""The residual stream in depth, driven by keys on recorded results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from tests.app.driving import drawn, driven, notice, pasted, pressed, settled, text_of, until
from tests.app.recorded import RecordedBench, info
from tui.engine.jobs import (
    Attribution,
    Lens,
    PreparePrompts,
    ScoreParts,
    Target,
)
from tui.explorer import Explorer
from tui.pages.neurons import NeuronsLook
from tui.results import Capabilities, Table
from tui.views.ask import Ask
from tui.views.chart import Bars, Plot
from tui.views.heatmap import Heatmap
from tui.views.model_tree import ModelTree
from tui.views.prompt import PromptInput, PromptLine, TokenStrip


def panel_table(explorer: Explorer) -> Table:
    table = explorer.panel.bars.table
    assert isinstance(table, Table)
    return table


async def test_the_lens_shows_top_tokens_and_every_measure() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "5")
        grid = drawn(explorer)
        assert grid.text is not None
        assert explorer.main.heatmap.cursor == (4, 5), "the model's own output, at the last position"
        assert "logit lens · top token's probability" in text_of(explorer, "#title")
        for words in ("answer's probability", "answer's rank", "entropy", "KL(final ‖ lens)", "top token's"):
            await pressed(explorer, pilot, "m")
            assert words in text_of(explorer, "#title")


async def test_the_lens_takes_the_middle_states_in_and_keeps_the_cursor() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "5", "k", "k")
        assert text_of(explorer, "#inspector").startswith(" L2.pre at ·is")
        await pressed(explorer, pilot, "u")
        assert len(drawn(explorer).rows) == 9
        assert text_of(explorer, "#inspector").startswith(" L2.pre at ·is")


async def test_parallel_blocks_say_why_there_are_no_middle_states() -> None:
    bench = RecordedBench(info(capabilities=Capabilities(states_mid="blocks are parallel: no state between")))
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "5", "u")
        assert "blocks are parallel" in notice(explorer)
        assert len(drawn(explorer).rows) == 5


async def test_the_side_panel_of_the_lens_has_tokens_and_curves() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "5")
        assert panel_table(explorer).columns == ("rank", "token", "probability")
        await pressed(explorer, pilot, "p")
        assert isinstance(explorer.panel.picture, Plot)
        assert explorer.panel.picture.curve is not None
        assert explorer.panel.picture.curve.y_name == "probability"
        await pressed(explorer, pilot, "p")
        assert explorer.panel.picture.curve.y_name == "rank"  # type: ignore[union-attr]


async def test_attribution_is_a_picture_and_a_ranked_list_of_the_same_numbers() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "6")
        grid, table = drawn(explorer), panel_table(explorer)
        assert grid.cols.labels == ("H0", "H1", "H2", "H3", "bias", "MLP")
        parts = dict(table.rows)
        assert parts["L1H2"] == grid.values[1, 2]
        assert {"embed", "pos", "unembed.bias", "rounding", "L0.bias", "L3.mlp"} <= parts.keys()
        said = text_of(explorer, "#checks")
        assert said.startswith(" Σ parts ")
        assert "= value" in said


async def test_the_cursor_in_attribution_chooses_the_head_and_enter_opens_it() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "6", "j", "j", "l")
        assert explorer.selection.name == "L2H1"
        node = explorer.query_one(ModelTree).cursor_node
        assert (node.data.layer, node.data.head) == (2, 1)  # type: ignore[union-attr]
        assert text_of(explorer, "#inspector").startswith(" L2H1 at ·is (5)")
        await pressed(explorer, pilot, "enter")
        assert (explorer.selection.page, explorer.selection.name) == ("pattern", "L2H1")
        await pressed(explorer, pilot, "comma", "end", "enter")
        assert explorer.selection.page == "neurons", "the last column is the MLP"
        assert drawn(explorer).rows.labels[0].startswith("L2N")


async def test_heads_follow_when_they_are_walked_by_key() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "6", "end", "right_curly_bracket", "right_square_bracket")
        assert explorer.main.heatmap.cursor == (1, 1)


async def test_three_units_and_the_neurons_of_a_layer() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "6", "j", "u")
        assert drawn(explorer).cols.labels == ("attn", "bias", "MLP")
        await pressed(explorer, pilot, "u")
        assert isinstance(explorer.main.picture, Bars)
        table = explorer.main.bars.table
        assert table is not None
        assert [row[0] for row in table.rows[-2:]] == ["others", "L1.mlp.bias"]
        await pressed(explorer, pilot, "j", "enter")
        assert explorer.selection.page == "neurons"
        assert explorer.selection.look(NeuronsLook).neuron == (1, 8)
        assert drawn(explorer).rows.labels[explorer.main.heatmap.cursor[0]] == "L1N8"


async def test_sources_show_what_each_token_gave_beside_the_pattern_and_the_weights() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "S")
        assert explorer.selection.page == "sources"
        assert "toward ·" in text_of(explorer, "#title")
        assert panel_table(explorer).columns == ("source", "gives", "pattern", "OV")
        await pressed(explorer, pilot, "h", "h", "enter")
        assert explorer.selection.page == "ov"
        assert explorer.main.heatmap.cursor == (3, 3), "the source under the cursor is the row of OV"
        await pressed(explorer, pilot, "comma")
        assert explorer.selection.page == "sources"


async def test_why_it_looks_there_and_enter_goes_to_the_component() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "right_square_bracket", "h", "W")
        grid = drawn(explorer)
        assert (grid.rows.name, grid.cols.name) == ("at the query", "at the key")
        assert "Σ parts 5.210 = score 5.210" in text_of(explorer, "#checks")
        assert panel_table(explorer).columns == ("query", "key", "score")
        column = grid.cols.labels.index("L0.attn")
        await pressed(explorer, pilot, *["l"] * column, "enter")
        assert (explorer.selection.page, explorer.selection.name) == ("pattern", "L0H0")


async def test_a_score_that_is_masked_is_a_sentence() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "k", "k", "right_square_bracket", "W")
        assert "cannot see that key" in explorer.main.heatmap.message
        assert explorer.app.is_running
        await pressed(explorer, pilot, "1", "h", "h", "h", "W")
        assert drawn(explorer).rows.name == "at the query"


async def test_the_stream_has_norms_cosines_and_the_cosines_between_writes() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "4")
        titles = [text_of(explorer, "#title")]
        for _ in range(4):
            await pressed(explorer, pilot, "m")
            titles.append(text_of(explorer, "#title"))
        for words, title in zip(
            ("norm of writes", "effect of writes", "norm of states", "cosine of states", "cosines between"), titles,
            strict=True,
        ):  # fmt: skip
            assert words in title
        grid = drawn(explorer)
        assert grid.rows.labels == grid.cols.labels
        await pressed(explorer, pilot, "j", "j", "l")
        assert text_of(explorer, "#inspector").startswith(" L0.attn · pos ")


async def test_neurons_colour_the_token_strip_and_name_what_they_write() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "U", "j")
        shade = explorer.query_one(TokenStrip).shade
        assert shade is not None
        assert max(map(abs, shade)) == 1.0
        assert str(explorer.panel.border_title).endswith("L0N8 as tokens")
        await pressed(explorer, pilot, "1")
        assert explorer.query_one(TokenStrip).shade is None


async def test_the_palette_goes_to_a_neuron_by_number() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("colon", *"L2N255")
        await pilot.pause(0.4)
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.look(NeuronsLook).neuron == (2, 255))
        await settled(explorer, pilot)
        assert drawn(explorer).rows.labels[explorer.main.heatmap.cursor[0]] == "L2N255"
        await pilot.press("colon", *"L2N256", "enter")
        await until(pilot, lambda: "neurons 0 to 255" in notice(explorer))
        assert explorer.selection.look(NeuronsLook).neuron == (2, 255)


async def test_a_model_without_neurons_says_why() -> None:
    bench = RecordedBench(info(capabilities=Capabilities(neurons="This model's MLPs are mixtures of experts.")))
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "6", "end", "enter")
        assert "mixtures of experts" in notice(explorer)
        assert explorer.selection.page == "attribution"


@pytest.mark.parametrize(
    ("keys", "title"),
    [(("6", "j"), "L1H0 at ·is"), (("5", "k"), "L3.pre at ·is"), (("4", "j"), "pos at ·is"), (("1",), "L0H0 at ·is"),
     (("S", "h"), "L0H0 from ·France at ·is")],
)  # fmt: skip
async def test_any_vector_is_read_out_as_tokens(keys: tuple[str, ...], title: str) -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, *keys, "v")
        assert str(explorer.panel.border_title).endswith(f"{title} as tokens")
        assert panel_table(explorer).columns == ("rank", "token", "value")


async def test_the_position_moves_by_key_in_every_view_and_its_numbers_follow() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "6", "left_parenthesis", "left_parenthesis")
        assert "at ·of (3)" in text_of(explorer, "#title")
        positions = [job.position for job in bench.computed if isinstance(job, Attribution)]
        assert positions[-1] == 3
        await pressed(explorer, pilot, "right_parenthesis", "5")
        assert explorer.main.heatmap.cursor[1] == 4, "one position for all views"


async def test_the_answer_stands_beside_the_prompt_and_several_are_averaged() -> None:
    async with driven() as (explorer, pilot):
        line = explorer.query_one(PromptLine)
        assert line.answer == "answer ·in", "the likeliest next token until one is set"
        await pilot.press("A", *"Paris, Rome - London", "enter")
        await settled(explorer, pilot)
        assert explorer.selection.target == Target((6, 10), (7,))
        assert line.answer == "answer Paris, Rome − London"
        await pressed(explorer, pilot, "6")
        assert "attribution to Paris, Rome − London" in text_of(explorer, "#title")


async def test_a_word_of_several_tokens_is_picked_from_its_split() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("A")
        await pasted(pilot, "Zanzibar - Paris")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(explorer.app.screen, Ask) and bool(explorer.app.screen.query(OptionList)))
        await until(pilot, lambda: explorer.app.screen.query_one(OptionList).option_count == 3)
        assert explorer.app.screen.query_one(Input).value == "Zanzibar - Paris", "nothing lost"
        await pilot.press("down", "enter")
        await until(pilot, lambda: not isinstance(explorer.app.screen, Ask))
        await settled(explorer, pilot)
        assert explorer.selection.answer is not None
        assert explorer.selection.answer.target.distractors == (6,)
        assert explorer.selection.answer.text.startswith("#")


async def test_an_unknown_answer_is_said_where_it_was_typed() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("A", *"Atlantis", "enter")
        await until(pilot, lambda: explorer.app.screen.query_one("#ask-problem").display)
        assert explorer.app.screen.query_one(Input).value == "Atlantis"
        await pilot.press("escape")
        assert explorer.selection.answer is None


FACTS = [
    {"prompt": "The capital of France is", "answer": "Paris", "distractor": "London"},
    {"prompt": "The king", "answer": "queen"},
    {"prompt": "Rome is in"},
]


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in FACTS))
    return path


async def test_a_file_of_prompts_is_opened_from_the_palette_and_shown_as_mean_and_spread(facts: Path) -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("6", "colon", *"prompts ")
        await pasted(pilot, str(facts))
        await pilot.pause(0.4)
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await settled(explorer, pilot)
        assert "mean over facts.jsonl (3 prompts)" in text_of(explorer, "#title")
        assert panel_table(explorer).columns == ("part", "mean", "spread")
        await pressed(explorer, pilot, "5")
        assert isinstance(explorer.main.picture, Bars)
        await pressed(explorer, pilot, "1")
        assert "mean pattern" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "m")
        assert "spread pattern" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "F")
        assert "facts.jsonl" not in text_of(explorer, "#title")


async def test_prompts_of_a_file_are_walked_with_their_answers(facts: Path) -> None:
    async with driven(prompts=str(facts)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await settled(explorer, pilot)
        assert explorer.selection.target == Target((6,))
        assert explorer.query_one(PromptLine).answer == "", "each prompt of the mean has its own"
        await pressed(explorer, pilot, "F")
        assert explorer.query_one(PromptLine).answer == "answer ·Paris − ·London"
        await pressed(explorer, pilot, "greater_than_sign")
        assert explorer.query_one(PromptInput).value == "The king"
        assert explorer.query_one(PromptLine).answer == "answer ·queen"
        assert len(explorer.selection.tokens or ()) == 3
        await pressed(explorer, pilot, "less_than_sign", "less_than_sign")
        assert explorer.query_one(PromptInput).value == "Rome is in"


async def test_prompts_walked_quickly_end_on_the_last_one_with_its_own_answer(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("The capital\nThe king\nRome is\n")
    async with driven(prompts=str(path)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await settled(explorer, pilot)
        await pressed(explorer, pilot, "6")
        await pilot.press(*["greater_than_sign"] * 7)
        await settled(explorer, pilot)
        assert explorer.query_one(PromptInput).value == "The king"
        assert [explorer.selection.tokens.texts[-1]] == [" king"]  # type: ignore[union-attr]
        assert explorer.selection.likeliest is not None, "also where the prediction was known already"
        await pressed(explorer, pilot, "less_than_sign", "greater_than_sign")
        assert explorer.selection.likeliest is not None
        assert "attribution to" in text_of(explorer, "#title")
        assert drawn(explorer).header.view == "attribution"


async def test_contexts_of_a_token_lead_to_the_prompt_and_the_cell(facts: Path) -> None:
    async with driven(prompts=str(facts)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await settled(explorer, pilot)
        await pressed(explorer, pilot, "F", "p")
        table = panel_table(explorer)
        assert table.columns == ("context", "attention")
        explorer.panel.bars.focus()
        await pressed(explorer, pilot, "j", "j", "enter")
        assert explorer.query_one(PromptInput).value == "Rome is in"
        assert explorer.selection.prompt_cell == (3, 1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "could not be read"), ("\n \n", "no prompt"), ('{"prompt": 3}\n', "Line 1"), ('{"x": 1}\n', "key 'x'")],
)
async def test_a_bad_file_of_prompts_is_a_sentence_and_everything_stays(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_text(content)
    async with driven() as (explorer, pilot):
        before = drawn(explorer)
        await pilot.press("O")
        await pasted(pilot, str(path))
        await pilot.press("enter")
        await until(pilot, lambda: explorer.app.screen.query_one("#ask-problem").display)
        assert sentence in str(explorer.app.screen.query_one("#ask-problem").render())  # type: ignore[attr-defined]
        await pressed(explorer, pilot, "escape")
        assert drawn(explorer) is before
        assert explorer.selection.file is None


async def test_a_prompt_of_the_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("fine\n" + "word " * 80 + "\n")
    async with driven() as (explorer, pilot):
        explorer.directory.open_prompts(str(path))
        await until(pilot, lambda: "reads at most 60" in notice(explorer))
        assert explorer.selection.file is None
        good = tmp_path / "good.txt"
        good.write_text("Rome is\n")
        explorer.directory.open_prompts(str(good))
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        explorer.directory.open_prompts(str(path))
        assert explorer.selection.file is not None
        assert explorer.selection.file.name == "long.txt"
        # The file that was open stays.
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.name == "good.txt")
        assert explorer.app.is_running


async def test_keys_for_files_without_a_file_say_how_to_open_one() -> None:
    async with driven() as (explorer, pilot):
        for key in ("F", "less_than_sign", "greater_than_sign"):
            await pilot.press("escape", key)
            assert "O opens one" in notice(explorer)


async def test_bos_prepares_the_file_anew(facts: Path) -> None:
    bench = RecordedBench()
    async with driven(bench=bench, prompts=str(facts)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await settled(explorer, pilot)
        await pressed(explorer, pilot, "B")
        assert [job.bos for job in bench.computed if isinstance(job, PreparePrompts)] == [True, False]


async def test_the_export_of_a_depth_view_is_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        for key, name in (("5", "lens"), ("6", "attribution"), ("U", "neurons")):
            await pressed(explorer, pilot, key, "e", "enter")
            await until(pilot, lambda name=name: f"circuit-tui-{name}.json" in notice(explorer))  # type: ignore[misc]
        lens = json.loads((tmp_path / "circuit-tui-lens.json").read_text())
        assert lens["text"][0][0]
        whole = json.loads((tmp_path / "circuit-tui-attribution.json").read_text())
        assert whole["rows"]["labels"][0] == "embed", "all parts, not only those of the picture"


async def test_another_answer_computes_no_top_token_again() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "5")
        before = sum(isinstance(job, Lens) for job in bench.computed)
        await pilot.press("A", *"Rome", "enter")
        await settled(explorer, pilot)
        assert sum(isinstance(job, Lens) for job in bench.computed) == before


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (120, 40)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    async with driven(size=size) as (explorer, pilot):
        for key in ("5", "u", "m", "p", "6", "u", "u", "p", "S", "v", "W", "U", "escape", "4", "m", "m", "m", "m", "j"):
            await pilot.press(key)
            await pilot.pause()
        await settled(explorer, pilot)
        assert explorer.app.is_running
        assert isinstance(explorer.main.picture, Heatmap)


async def test_w_on_a_head_of_layer_one_asks_for_that_score() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "right_square_bracket", "right_curly_bracket", "k", "h", "h", "W")
        jobs = [job for job in bench.computed if isinstance(job, ScoreParts)]
        assert (jobs[0].layer, jobs[0].head, jobs[0].query, jobs[0].key) == (1, 1, 4, 3)
