"""The selection and its wish list: pure functions, tested without a screen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tui.state import File, Selection

from tests.app.recorded import KEY, info, tokens
from tui import needs, state
from tui.engine.jobs import (
    OV,
    QK,
    Attribution,
    AttributionOver,
    HeadScores,
    LayerPatterns,
    Lens,
    LensOver,
    Neurons,
    Open,
    OVRow,
    Pattern,
    PatternOver,
    PreparePrompts,
    PromptRow,
    Prompts,
    Repeats,
    Residual,
    Run,
    ScoreParts,
    Sources,
    Stream,
    Target,
    Tokenize,
    Words,
    WriteCosines,
)
from tui.results import Capabilities, Header, Table

PROMPT = tokens(["<|bos|>", " The", " capital", " of"], True)


ROWS = (PromptRow("The capital of", "Paris"), PromptRow("The king"))
FILE = File("facts.jsonl", ROWS, over=False, prepared=Prompts(
    "digest", "facts.jsonl", (Run(KEY, PROMPT.ids, True), Run(KEY, (0, 1, 8), True)), (Target((6,)), None),
    ("The capital of", "The king")))  # fmt: skip
OPENED = replace(FILE, over=True)


def loaded(**changes: object) -> Selection:
    s = Selection(opened=Open(), model=info(), text="The capital of")
    s = replace(s, tokens=PROMPT, tokens_of=Tokenize(KEY, s.text, True))
    return replace(s, **changes)  # type: ignore[arg-type]


def test_nothing_but_the_model_is_wanted_before_it_is_there() -> None:
    assert needs.needs(Selection()) == [Open()]


def test_another_model_is_wanted_before_anything_else_of_the_old_one() -> None:
    assert needs.needs(loaded(open=Open("gpt2"))) == [Open("gpt2")]


def test_changed_text_is_tokenized_first() -> None:
    assert needs.needs(loaded(text="The capital")) == [Tokenize(KEY, "The capital", True)]


def test_bos_is_the_models_habit_until_the_user_says_otherwise() -> None:
    assert loaded().with_bos
    assert not loaded(bos=False).with_bos
    assert not replace(loaded(), model=info(bos_id=None, bos_default=False), bos=True).with_bos


def test_what_is_on_the_screen_comes_first_and_neighbours_last() -> None:
    wanted = needs.needs(loaded(layer=1, head=1))
    run = Run(KEY, PROMPT.ids, True)
    assert wanted[0] == Pattern(run, 1, 1)
    assert wanted[-3:] == [Pattern(run, 1, 2), Pattern(run, 1, 0), HeadScores(KEY, Repeats())], "labels come last"
    assert len(wanted) == len(set(wanted))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"view": "pattern"}, Pattern),
        ({"view": "pattern", "mode": "all heads"}, LayerPatterns),
        ({"view": "qk"}, QK),
        ({"view": "ov"}, OV),
        ({"view": "ov", "head": None}, OV),
        ({"view": "residual"}, Residual),
    ],
)
def test_each_view_draws_its_job(changes: dict[str, object], kind: type) -> None:
    assert isinstance(needs.shown(loaded(**changes)), kind)


def test_the_direct_path_has_no_qk() -> None:
    assert needs.shown(loaded(view="qk", head=None)) is None


def test_the_answer_direction_waits_for_the_prediction() -> None:
    s = loaded(view="residual", measure="answer")
    assert needs.shown(s) is None
    assert needs.shown(replace(s, likeliest=7)).target == Target((7,))  # type: ignore[union-attr]
    chosen = replace(s, likeliest=7, chosen=Target((5, 6), (8,)))
    assert needs.shown(chosen).target == Target((5, 6), (8,))  # type: ignore[union-attr]


def test_the_jobs_carry_every_option_that_changes_their_numbers() -> None:
    s = loaded(view="qk", layer=2, head=3)
    base = needs.shown(s)
    for change in (
        {"form": "scaled"}, {"normalize": "zscore"}, {"baseline": "vocabulary"}, {"basis": "normed"},
        {"basis": "prompt"}, {"offset": 3}, {"term": "position-token"}, {"weights": "raw"}, {"layer": 1}, {"head": 0},
    ):  # fmt: skip
        assert needs.shown(replace(s, **change)) != base, change


def test_the_inspector_asks_for_the_same_cell_of_every_circuit() -> None:
    jobs = needs.inspected(loaded(row=2, col=1))
    assert jobs.pattern is not None
    assert jobs.scores is not None
    assert jobs.qk is not None
    assert jobs.qk.normalize == "none"
    assert jobs.zscore is not None
    assert (jobs.zscore.normalize, jobs.zscore.baseline) == ("zscore", "vocabulary")
    assert isinstance(jobs.ov_row, OVRow)
    assert jobs.ov_row.source == PROMPT.ids[1], "outside OV the key token is the source"
    assert needs.inspected(loaded(view="ov", row=2, col=1)).ov_row.source == PROMPT.ids[2]  # type: ignore[union-attr]


def test_a_token_list_of_ones_own_replaces_the_prompt_in_qk_and_ov_only() -> None:
    listed = tokens([" king", " queen"], False)
    s = loaded(view="qk", words="king, queen", listed=listed, listed_of=Words(KEY, "king, queen"))
    assert needs.shown(s).rows == listed.ids  # type: ignore[union-attr]
    assert needs.inspected(s).pattern is None, "the prompt's pattern has no such cell"
    assert isinstance(needs.shown(replace(s, view="pattern")), Pattern)


def test_basis_passes_over_what_is_not_offered() -> None:
    s, passed = state.cycle(loaded(basis="normed", layer=0), "basis")
    assert s.basis == "prompt"
    assert "layer 0" in passed
    assert state.cycle(loaded(basis="normed", layer=1), "basis")[0].basis == "effective"


def test_basis_falls_back_when_the_layer_changes_to_0() -> None:
    assert state.settle(loaded(basis="effective", layer=1)).basis == "effective"
    assert state.settle(loaded(basis="effective", layer=0)).basis == "embed"


def test_position_terms_are_refused_with_the_models_own_reason() -> None:
    rotary = info(capabilities=Capabilities(position_terms="rotary positions: there is no W_pos"))
    s, passed = state.cycle(replace(loaded(view="qk"), model=rotary), "term")
    assert s.term == "token-token"
    assert passed == "rotary positions: there is no W_pos"


def test_heads_out_of_range_are_put_right() -> None:
    s = state.settle(loaded(layer=99, head=99))
    assert (s.layer, s.head) == (3, 3)


def test_cells_count_from_the_end_and_stay_inside() -> None:
    assert loaded().cell == (3, 3)
    assert loaded(row=0, col=-2).cell == (0, 2)
    assert loaded(row=50, col=50).cell == (3, 3)
    assert loaded(tokens=None).cell == (0, 0)


@pytest.mark.parametrize("view", state.VIEWS)
def test_cell_in_view_is_the_inverse_of_with_cell(view: str) -> None:
    s = state.with_cell(loaded(view=view), 2, 1)
    assert state.cell_in_view(s) == ((2, 0) if view == "pairs" else (2, 1)), "Pairs is a list"


PARTS: dict[str, str] = {"residual": "L0.attn", "attribution": "L1H2", "neurons": "L1N17"}
"""What the row under the cursor names."""


@pytest.mark.parametrize("view", state.VIEWS)
def test_every_panel_has_a_job(view: str) -> None:
    s = loaded(view=view, layer=1, likeliest=7, mode="sources", col=1, file=FILE)
    columns = ("rank", "source", "id", "output", "id", "value")
    drawn = Table(Header("pairs", "q", "f"), columns, ((1, "a", 4, "b", 5, 1.0),))
    for index in range(len(needs.panels(s))):
        job = needs.panel_job(replace(s, panel=index), PARTS.get(view, ""), drawn)
        assert job is not None, needs.panels(s)[index]
    assert needs.panel_job(replace(s, panel=99)) is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"view": "pattern", "mode": "sources"}, Sources),
        ({"view": "lens"}, Lens),
        ({"view": "lens", "lens": "rank", "mids": True}, Lens),
        ({"view": "attribution"}, Attribution),
        ({"view": "attribution", "grain": "neuron"}, Attribution),
        ({"view": "why", "row": 2, "col": 1}, ScoreParts),
        ({"view": "neurons", "neuron": (0, 7)}, Neurons),
        ({"view": "residual", "measure": "states"}, Stream),
        ({"view": "residual", "measure": "final"}, Stream),
        ({"view": "residual", "measure": "writes"}, WriteCosines),
        ({"view": "pattern", "file": True}, PatternOver),
        ({"view": "lens", "file": True}, LensOver),
        ({"view": "attribution", "file": True}, AttributionOver),
        ({"view": "ov", "file": True}, OV),
    ],
)
def test_the_stream_in_depth_has_its_jobs(changes: dict[str, object], kind: type) -> None:
    if changes.get("file"):
        changes = {**changes, "file": OPENED}
    assert isinstance(needs.shown(loaded(likeliest=7, **changes)), kind)


def test_an_answer_is_asked_of_the_lens_only_where_it_matters() -> None:
    """Another answer must not compute the top tokens again."""
    s = loaded(view="lens", likeliest=7)
    assert needs.shown(s) == needs.shown(replace(s, likeliest=8))
    assert needs.shown(replace(s, lens="rank")) != needs.shown(replace(s, lens="rank", likeliest=8))


def test_the_position_moves_in_every_view_and_stays_inside() -> None:
    s = loaded(view="attribution", row=1)
    assert state.with_position(s, 1).position == 2
    assert state.with_position(s, -9).position == 0
    assert state.with_position(s, 99).position == 3
    empty = loaded(tokens=None)
    assert state.with_position(empty, 1) is empty


def test_the_cursor_in_attribution_is_a_head_or_an_mlp() -> None:
    s = state.with_cell(loaded(view="attribution"), 2, 3)
    assert (s.layer, s.head) == (2, 3)
    on_mlp = state.with_cell(s, 1, 5)
    assert (on_mlp.layer, on_mlp.head, state.cell_in_view(on_mlp)) == (1, 3, (1, 5)), "the head stays chosen"


def test_states_keep_the_cursor_when_the_middle_ones_come_and_go() -> None:
    s = loaded(view="lens", state=2)
    assert s.states == ("L0.pre", "L1.pre", "L2.pre", "L3.pre", "L3.post")
    with_mids, passed = state.cycle(s, "mids")
    assert with_mids.states[with_mids.state] == "L2.pre"
    assert not passed
    on_mid = replace(with_mids, state=5)
    assert on_mid.states[5] == "L2.mid"
    back, _ = state.cycle(on_mid, "mids")
    assert back.states[back.state] == "L2.pre"


def test_parallel_blocks_have_no_middle_states_and_say_so() -> None:
    parallel = info(capabilities=Capabilities(states_mid="blocks are parallel", neurons="experts"))
    s, passed = state.cycle(loaded(model=parallel, view="lens"), "mids")
    assert not s.mids
    assert passed == "blocks are parallel"
    assert state.cycle(loaded(model=parallel, grain="component"), "grain")[1] == "experts"
    assert not state.settle(loaded(model=parallel, mids=True)).mids


@pytest.mark.parametrize(
    ("part", "view", "layer", "head"),
    [("L2H3", "pattern", 2, 3), ("L2.attn", "pattern", 2, 1), ("L2.mlp", "neurons", 2, 1), ("L2N17", "neurons", 2, 1)],
)
def test_a_part_leads_to_its_head_or_its_neurons(part: str, view: str, layer: int, head: int) -> None:
    s = state.at_part(loaded(view="attribution", head=1), part)
    assert (s.view, s.layer, s.head) == (view, layer, head)
    assert s.neuron == ((2, 17) if part == "L2N17" else None)


@pytest.mark.parametrize("part", ["embed", "L2.bias", "rounding", "unembed.bias", ""])
def test_other_parts_lead_nowhere(part: str) -> None:
    s = loaded(view="attribution")
    assert state.at_part(s, part) is s


def test_a_file_of_prompts_is_walked_with_its_answers() -> None:
    s = state.with_file(loaded(), "some/where/facts.jsonl", FILE.rows)
    assert (s.text, s.over) == ("The capital of", True)
    assert s.file is not None
    assert s.file.name == "facts.jsonl"
    assert needs.shown(s) is None, "not tokenized yet"
    assert isinstance(needs.preparing(s), PreparePrompts)
    s = state.prepared(s, needs.preparing(s), OPENED.prepared)  # type: ignore[arg-type]
    assert (s.chosen, s.answer_text) == (Target((6,)), "Paris")
    second = state.at_prompt(s, 1)
    assert (second.text, second.file.at) == ("The king", 1)  # type: ignore[union-attr]
    assert second.chosen is None, "never the answer of another prompt"
    own = state.at_prompt(replace(second, chosen=Target((9,)), answer_text="queen"), 1)
    assert own.chosen == Target((9,)), "the user's own stays where the file has none"
    assert state.at_prompt(second, 2).text == "The capital of", "after the last comes the first"
    other = replace(second, bos=False)
    assert needs.preparing(other) in needs.needs(replace(other, tokens_of=Tokenize(KEY, other.text, False)))


def test_the_cursor_over_a_file_is_not_that_of_the_prompt() -> None:
    s = loaded(file=OPENED)
    assert state.cell_in_view(s) == (2, 2), "the shortest prompt has three tokens"
    moved = state.with_cell(s, 0, 1)
    assert state.cell_in_view(moved) == (0, 1)
    assert moved.position == s.position
