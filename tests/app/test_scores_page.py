"""Heads: which score is shown, on what it is measured, settings as they are typed, and pairs that are searched for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.app.recorded import KEY
from tests.app.selected import FILE, here, loaded
from tui import moves, questions
from tui.declared import Problem, Say
from tui.engine.jobs import CopyingScores, FindPairs, HeadScores, PairSearch, Repeats
from tui.pages import scores
from tui.pages.circuit import CircuitLook, OwnTokens
from tui.pages.scores import COPYING_SCORES, PATTERN_SCORES, ScoresLook
from tui.results import Pairs
from tui.selection import Selection

PAIRS = Pairs(((4, 6), (8, 9)), ((" France", " Paris"), (" king", " queen")))


def test_pair_searches_are_scores_once_there_are_pairs() -> None:
    assert "pairs, QK" not in ScoresLook().scores
    assert "pairs, OV" in ScoresLook(pairs=PAIRS).scores


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("seed=3 rows=2 length=20", Repeats(3, 2, 20)),
        ("seed 3", Repeats(3)),
        ("length=auto, rows=4", Repeats(0, 4)),
        ("", Repeats()),
        ("rows=0", "rows must be from 1 to 256"),
        ("length=64", "length must be from 1 to 31"),
        ("seed=-1", "seed"),
        ("speed=3", "no setting"),
        ("bos=on", "B switches it"),
        ("rows=many", "whole number"),
    ],
)
def test_settings_of_the_random_tokens(text: str, want: Repeats | str) -> None:
    got = scores.parse_repeats(text, Repeats(), 31)
    assert got == want if isinstance(want, Repeats) else want in str(got)


def test_settings_read_back_as_they_are_shown() -> None:
    repeats = Repeats(5, 3, 12)
    assert scores.parse_repeats(scores.repeats_text(repeats), Repeats(), 31) == repeats


def test_settings_are_asked_for_with_what_the_model_can_read() -> None:
    question = questions.named("repeats", loaded())
    answered = question.answered(loaded(), "length=31")
    assert isinstance(answered, Selection)
    assert answered.look(ScoresLook).repeats.length == 31
    assert question.answered(loaded(), "length=32") == Problem(
        "length must be from 1 to 31, half of what the model reads, or auto"
    ), "64 positions with a BOS"
    assert isinstance(question.answered(Selection(), "rows=4"), Problem)


def test_each_score_has_its_job() -> None:
    s = loaded(file=FILE)
    assert scores.job(s, "induction") == HeadScores(KEY, Repeats())
    assert scores.job(s.put(ScoresLook(on="prompt")), "induction") == HeadScores(KEY, s.run)  # type: ignore[arg-type]
    assert FILE.prepared is not None
    assert scores.job(s.put(ScoresLook(on="file")), "induction") == HeadScores(KEY, FILE.prepared)
    assert scores.job(s.put(ScoresLook(on="prompt"), tokens=None), "induction") is None
    for name in COPYING_SCORES:
        assert scores.job(s.put(ScoresLook(on="prompt")), name) == CopyingScores(KEY, "processed", 1000)
    assert scores.job(s, "pairs, QK") is None
    searched = s.put(ScoresLook(pairs=PAIRS), CircuitLook(basis="normed"))
    assert scores.job(searched, "pairs, OV") == PairSearch(KEY, PAIRS.ids, "ov", "processed", "normed", 0)
    assert scores.job(Selection(), "induction") is None


def test_repeated_tokens_have_a_bos_where_the_prompt_has_one() -> None:
    job = scores.on_repeats(loaded(bos=False))
    assert job is not None
    assert job.on == Repeats(bos=False)


def test_the_mode_walks_every_score() -> None:
    s = loaded(page="heads")
    seen = []
    for _ in (*PATTERN_SCORES, *COPYING_SCORES):
        s, _ = moves.cycle(s, "mode", "mode")
        seen.append(s.look(ScoresLook).score)
    assert set(seen) == {*PATTERN_SCORES, *COPYING_SCORES}


def test_scores_over_a_file_need_one() -> None:
    on, sentence = moves.cycle(loaded(ScoresLook(on="prompt"), page="heads"), "unit", "unit")
    assert (on.look(ScoresLook).on, sentence) == ("repeats", "no file of prompts is open: O opens one")
    assert moves.cycle(loaded(ScoresLook(on="prompt"), page="heads", file=FILE), "unit", "unit")[0].look(
        ScoresLook
    ).on == "file"  # fmt: skip


def test_only_a_search_has_a_basis() -> None:
    s, sentence = moves.cycle(loaded(page="heads"), "basis", "basis")
    assert s == loaded(page="heads")
    assert "/ searches" in sentence
    searched = loaded(ScoresLook("pairs, QK", pairs=PAIRS), page="heads")
    assert moves.cycle(searched, "basis", "basis")[0].look(CircuitLook).basis == "normed"


@pytest.mark.parametrize(("page", "score"), [("pattern", "pairs, QK"), ("ov", "pairs, OV")])
def test_pairs_that_were_found_are_a_score_and_empty_forgets_them(page: str, score: str) -> None:
    s, question = loaded(page=page), questions.named("search", loaded())
    job = question.answered(s, "France>Paris")
    assert job == FindPairs(KEY, "France>Paris")
    found = question.found(s, job, PAIRS)
    look = found.look(ScoresLook)
    assert (found.page, look.score, look.pairs, look.pairs_text) == ("heads", score, PAIRS, "France>Paris")
    assert question.before(found) == "France>Paris"
    assert question.answered(found, "") == replace(s, page="heads")
    assert isinstance(question.answered(Selection(), "France>Paris"), Problem)


def test_a_head_that_was_found_by_pairs_is_shown_on_their_tokens() -> None:
    s = loaded(ScoresLook("pairs, OV", pairs=PAIRS), page="heads")
    opened = moves.open_cell(here(s), 2, 1)
    assert isinstance(opened, Selection)
    assert (opened.page, opened.layer, opened.head) == ("ov", 2, 1)
    assert opened.look(OwnTokens) == OwnTokens("4,6,8,9", row=0, col=1)
    plain = moves.open_cell(here(loaded(page="heads")), 2, 1)
    assert not isinstance(plain, Say)
    assert (plain.page, plain.layer, plain.head) == ("pattern", 2, 1)
