"""The selection and its wish list: pure functions, tested without a screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.app.recorded import KEY, info, tokens
from tui import state
from tui.engine.jobs import OV, QK, LayerPatterns, Open, OVRow, Pattern, Residual, Run, Tokenize, Words
from tui.results import Capabilities
from tui.state import Selection

PROMPT = tokens(["<|bos|>", " The", " capital", " of"], True)


def loaded(**changes: object) -> Selection:
    s = Selection(opened=Open(), model=info(), text="The capital of")
    s = replace(s, tokens=PROMPT, tokens_of=Tokenize(KEY, s.text, True))
    return replace(s, **changes)  # type: ignore[arg-type]


def test_nothing_but_the_model_is_wanted_before_it_is_there() -> None:
    assert state.needs(Selection()) == [Open()]


def test_another_model_is_wanted_before_anything_else_of_the_old_one() -> None:
    assert state.needs(loaded(open=Open("gpt2"))) == [Open("gpt2")]


def test_changed_text_is_tokenized_first() -> None:
    assert state.needs(loaded(text="The capital")) == [Tokenize(KEY, "The capital", True)]


def test_bos_is_the_models_habit_until_the_user_says_otherwise() -> None:
    assert loaded().with_bos
    assert not loaded(bos=False).with_bos
    assert not replace(loaded(), model=info(bos_id=None, bos_default=False), bos=True).with_bos


def test_what_is_on_the_screen_comes_first_and_neighbours_last() -> None:
    wanted = state.needs(loaded(layer=1, head=1))
    run = Run(KEY, PROMPT.ids, True)
    assert wanted[0] == Pattern(run, 1, 1)
    assert wanted[-2:] == [Pattern(run, 1, 2), Pattern(run, 1, 0)]
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
    assert isinstance(state.shown(loaded(**changes)), kind)


def test_the_direct_path_has_no_qk() -> None:
    assert state.shown(loaded(view="qk", head=None)) is None


def test_the_answer_direction_waits_for_the_prediction() -> None:
    s = loaded(view="residual", measure="answer")
    assert state.shown(s) is None
    assert state.shown(replace(s, likeliest=7)).answer == 7  # type: ignore[union-attr]
    assert state.shown(replace(s, likeliest=7, answer=5)).answer == 5  # type: ignore[union-attr]


def test_the_jobs_carry_every_option_that_changes_their_numbers() -> None:
    s = loaded(view="qk", layer=2, head=3)
    base = state.shown(s)
    for change in (
        {"form": "scaled"}, {"normalize": "zscore"}, {"baseline": "vocabulary"}, {"basis": "normed"},
        {"basis": "prompt"}, {"offset": 3}, {"term": "position-token"}, {"weights": "raw"}, {"layer": 1}, {"head": 0},
    ):  # fmt: skip
        assert state.shown(replace(s, **change)) != base, change


def test_the_inspector_asks_for_the_same_cell_of_every_circuit() -> None:
    jobs = state.inspected(loaded(row=2, col=1))
    assert jobs.pattern is not None
    assert jobs.scores is not None
    assert jobs.qk is not None
    assert jobs.qk.normalize == "none"
    assert jobs.zscore is not None
    assert (jobs.zscore.normalize, jobs.zscore.baseline) == ("zscore", "vocabulary")
    assert isinstance(jobs.ov_row, OVRow)
    assert jobs.ov_row.source == PROMPT.ids[1], "outside OV the key token is the source"
    assert state.inspected(loaded(view="ov", row=2, col=1)).ov_row.source == PROMPT.ids[2]  # type: ignore[union-attr]


def test_a_token_list_of_ones_own_replaces_the_prompt_in_qk_and_ov_only() -> None:
    listed = tokens([" king", " queen"], False)
    s = loaded(view="qk", words="king, queen", listed=listed, listed_of=Words(KEY, "king, queen"))
    assert state.shown(s).rows == listed.ids  # type: ignore[union-attr]
    assert state.inspected(s).pattern is None, "the prompt's pattern has no such cell"
    assert isinstance(state.shown(replace(s, view="pattern")), Pattern)


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
    assert state.cell_in_view(s) == (2, 1)


@pytest.mark.parametrize("view", state.VIEWS)
def test_every_panel_has_a_job(view: str) -> None:
    s = loaded(view=view, layer=1)
    for index in range(len(state.panels(s))):
        assert state.panel_job(replace(s, panel=index)) is not None
    assert state.panel_job(replace(s, panel=99)) is None
