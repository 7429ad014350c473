"""The selection: what all pages share, looks, files of prompts. Pure functions, tested without a screen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.app.recorded import KEY, info, tokens
from tests.app.selected import FILE, PARIS, RUN, loaded
from tui import needs, pages
from tui.engine.jobs import Ablation, Open, PreparePrompts, Run, Target, Tokenize, Words
from tui.names import state_names
from tui.pages.attribution import AttributionLook
from tui.pages.circuit import CircuitLook, Half, OwnTokens
from tui.pages.compose import ComposeLook
from tui.pages.pattern import PatternLook
from tui.pages.scores import ScoresLook
from tui.pages.states import StateRows
from tui.results import Capabilities, Pairs
from tui.selection import (
    Answer,
    Entry,
    File,
    Look,
    Selection,
    at_prompt,
    one_prompt,
    prepared,
    settle,
    with_file,
    with_model,
    without_file,
)


@dataclass(frozen=True)
class Alpha(Look):
    value: int = 0


@dataclass(frozen=True)
class Beta(Look):
    value: int = 0


def test_bos_is_the_models_habit_until_the_user_says_otherwise() -> None:
    assert loaded().with_bos
    assert not loaded(bos=False).with_bos
    assert not replace(loaded(), model=info(bos_id=None, bos_default=False), bos=True).with_bos


def test_looks_are_kept_by_type_and_a_default_is_none() -> None:
    s = Selection()
    assert s.look(Alpha) == Alpha()
    assert s.put(Alpha(3)).look(Alpha).value == 3
    assert s.put(Alpha(3)).look(Beta) == Beta()
    assert s.put(Alpha(3)).put(Alpha(4), layer=2) == replace(s, looks=(Alpha(4),), layer=2)
    assert s.put(Alpha(3)).put(Alpha()) == s, "as if nobody had ever chosen"


def test_selections_are_equal_in_whatever_order_choices_were_made() -> None:
    assert Selection().put(Alpha(1)).put(Beta(2)) == Selection().put(Beta(2)).put(Alpha(1))
    assert hash(Selection().put(Alpha(1), Beta(2))) == hash(Selection().put(Beta(2), Alpha(1)))


def test_what_is_analysed_is_one_run() -> None:
    assert loaded().run == RUN
    gone = Ablation("L0H1")
    changed = loaded(stack=(Entry(gone), Entry(Ablation("L0.mlp"), on=False)))
    assert changed.run == replace(RUN, interventions=(gone,)), "what was changed in it is part of it"
    assert changed.clean.run == RUN
    assert replace(changed, contrast="difference").run == changed.run
    assert loaded(tokens=None).run is None
    assert Selection().run is None


def test_the_answer_is_the_users_else_the_likeliest_token() -> None:
    assert loaded().target is None
    assert loaded(likeliest=PARIS).target == Target((6,))
    assert loaded(likeliest=PARIS, answer=Answer(Target((5, 6), (8,)), "x")).target == Target((5, 6), (8,))


def test_names() -> None:
    assert (loaded(layer=1, head=3).name, loaded(head=None).name) == ("L1H3", "direct path")
    assert loaded().states(True) == state_names(4, True)
    assert Selection().states(True) == ()


def test_heads_out_of_range_are_put_right() -> None:
    s = settle(loaded(layer=99, head=99))
    assert (s.layer, s.head) == (3, 3)
    assert settle(loaded(head=None)).head is None


def test_basis_falls_back_when_the_layer_changes_to_0() -> None:
    effective = CircuitLook(basis="effective")
    assert settle(loaded(effective, layer=1)).look(CircuitLook).basis == "effective"
    assert settle(loaded(effective, layer=0)).look(CircuitLook).basis == "embed"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CircuitLook(term="token-position"), CircuitLook()),
        (StateRows(mids=True), StateRows()),
        (AttributionLook(grain="neuron"), AttributionLook()),
        (ScoresLook(on="file"), ScoresLook()),
        (Half("qk"), Half("ov")),
        (CircuitLook(basis="prompt", baseline="vocabulary", normalize="zscore"),
         CircuitLook(basis="prompt", normalize="zscore")),
        (OwnTokens("king", tokens([" king"], False)), OwnTokens("king", tokens([" king"], False))),
    ],
)  # fmt: skip
def test_each_look_puts_right_what_the_model_or_the_file_does_not_allow(before: Look, after: Look) -> None:
    poor = Capabilities(position_terms="no W_pos", states_mid="parallel", neurons="experts", qk="none")
    s = settle(loaded(before, model=info(capabilities=poor)))
    assert s.look(type(before)) == after


def test_cells_count_from_the_end_and_stay_inside() -> None:
    assert loaded().prompt_cell == (3, 3)
    assert loaded(row=0, col=-2).prompt_cell == (0, 2)
    assert loaded(row=50, col=50).prompt_cell == (3, 3)
    assert loaded(tokens=None).prompt_cell == (0, 0)


def test_another_model_forgets_what_was_chosen_by_token_id_and_keeps_how_it_is_shown() -> None:
    listed = tokens([" king"], False)
    pairs = Pairs(((1, 2),), (("a", "b"),))
    s = loaded(
        CircuitLook(form="scaled"), OwnTokens("king", listed, Words(KEY, "king")), ComposeLook(kind="v", other=(3, 2)),
        ScoresLook("pairs, OV", pairs=pairs, pairs_text="a>b"), answer=Answer(Target((6,)), "Paris"), likeliest=PARIS,
        file=FILE, stack=(Open(),),
    )  # fmt: skip
    model = info(name="other")
    other = with_model(s, Open("gpt2"), model)
    assert (other.opened, other.model) == (Open("gpt2"), model)
    assert (other.tokens, other.tokens_of, other.answer, other.likeliest, other.stack) == (None, None, None, None, ())
    assert other.look(CircuitLook) == s.look(CircuitLook)
    assert other.look(OwnTokens) == OwnTokens("king"), "the words are looked up anew"
    assert other.look(ComposeLook) == ComposeLook(kind="v")
    assert (other.look(ScoresLook).pairs, other.look(ScoresLook).score) == (None, "induction")
    assert other.file is not None
    assert (other.file.rows, other.file.prepared) == (FILE.rows, None)


# --- a file of prompts ---


def test_a_file_of_prompts_is_walked_with_its_answers() -> None:
    s = with_file(loaded(), File("some/where/facts.jsonl", FILE.rows))
    assert s.file is not None
    assert (s.text, s.file.over) == ("The capital of", True)
    assert (s.file.name, s.file.count) == ("facts.jsonl", "2 prompts")
    assert needs.shown(s) is None, "not tokenized yet"
    job = needs.preparing(s)
    assert isinstance(job, PreparePrompts)
    assert FILE.prepared is not None
    s = prepared(s, job, FILE.prepared)
    assert s.answer == Answer(Target((6,)), "Paris", of_file=True)
    second = at_prompt(s, 1)
    assert second.file is not None
    assert (second.text, second.file.at) == ("The king", 1)
    assert second.answer is None, "never the answer of another prompt"
    own = Answer(Target((9,)), "queen")
    assert at_prompt(replace(second, answer=own), 1).answer == own, "the user's own stays where the file has none"
    assert at_prompt(second, 2).text == "The capital of", "after the last comes the first"
    other = replace(second, bos=False)
    there = replace(other, tokens_of=Tokenize(KEY, other.text, False))
    assert needs.preparing(other) in needs.needs(there, lambda job: None)


def test_the_typed_prompt_comes_back_when_the_file_closes() -> None:
    s = with_file(loaded(text="my own words"), File("a.txt", FILE.rows))
    again = with_file(s, File("b.txt", FILE.rows[1:]))
    assert again.text == "The king"
    closed = without_file(again)
    assert (closed.text, closed.file) == ("my own words", None)
    edited = without_file(replace(again, text="The king and"))
    assert edited.text == "The king and", "what was typed since is newer"
    assert without_file(loaded()) == loaded()


def test_a_files_answer_goes_with_it_and_ones_own_stays() -> None:
    of_file = Answer(Target((6,)), "Paris", of_file=True)
    s = with_file(loaded(), FILE)
    assert without_file(replace(s, answer=of_file)).answer is None
    own = replace(of_file, of_file=False)
    assert without_file(replace(s, answer=own)).answer == own


def test_the_file_before_is_kept_until_another_is_tokenized() -> None:
    s = with_file(loaded(file=FILE), File("b.txt", FILE.rows))
    assert s.file is not None
    assert s.file.before == FILE
    job = needs.preparing(s)
    assert job is not None
    assert needs.failed(s, job).file == FILE
    assert FILE.prepared is not None
    done = prepared(s, job, FILE.prepared)
    assert done.file is not None
    assert done.file.before is None


def test_one_prompt_of_the_file_or_all() -> None:
    s = loaded(file=replace(FILE, over=True))
    assert pages.of(s).is_over(s)
    assert not pages.of(s).is_over(one_prompt(s))
    assert one_prompt(loaded()) == loaded()


def test_the_cursor_over_a_file_is_not_that_of_the_prompt() -> None:
    s = loaded(file=replace(FILE, over=True))
    assert pages.of(s).cell(s) == (2, 2), "the shortest prompt has three tokens"
    moved = pages.of(s).at(s, 0, 1)
    assert pages.of(moved).cell(moved) == (0, 1)
    assert moved.position == s.position
    assert moved.look(PatternLook).over_cell == (0, 1)


def test_the_run_of_another_prompt_is_another_run() -> None:
    assert loaded(text="The king").run == Run(KEY, (0, 1, 8), True)
