"""What answers on the bottom line make of the selection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.app.recorded import KEY, info, tokens
from tui import questions
from tui.engine.jobs import Words
from tui.questions import ANSWER, MODEL, OFFSET, WORDS, Problem
from tui.state import Selection

LOADED = Selection(model=info())


@pytest.mark.parametrize("text", ["-1", "64", "x", "", "9" * 400, "1.5", "²"])
def test_an_offset_that_is_none_says_what_is(text: str) -> None:
    assert questions.answered("offset", text, LOADED) == Problem(
        "a whole number from 0 to 63: how far the key lies before the query"
    )


def test_an_offset() -> None:
    assert questions.answered(OFFSET.id, "63", LOADED) == replace(LOADED, offset=63)


@pytest.mark.parametrize("question", [WORDS, ANSWER])
def test_words_are_looked_up_by_the_worker(question: questions.Question) -> None:
    assert questions.answered(question.id, "Paris", LOADED) == Words(KEY, "Paris")
    assert isinstance(questions.answered(question.id, "Paris", Selection()), Problem), "no model yet"


def test_empty_answers_go_back_to_the_default() -> None:
    listed = tokens([" Paris"], False)
    s = replace(LOADED, words="Paris", listed=listed, answer=6, distractor=7, answer_text="Paris")
    assert questions.answered(WORDS.id, "", s) == replace(s, words="", listed=None)
    assert questions.answered(ANSWER.id, "", s) == replace(
        s, answer=None, distractor=None, answer_text=""
    )
    assert questions.answered(MODEL.id, "", s) == s


def test_an_answer_is_one_token_or_two() -> None:
    job = Words(KEY, "…")
    one, two, three = (tokens([" Paris", " London", " Rome"][:n], False) for n in (1, 2, 3))
    assert questions.found("answer", job, one, LOADED) == replace(
        LOADED, answer=6, answer_text="…", measure="answer"
    )
    assert questions.found("answer", job, two, LOADED) == replace(
        LOADED, answer=6, distractor=7, answer_text="…", measure="answer"
    )
    assert isinstance(questions.found("answer", job, three, LOADED), Problem)


def test_another_model_keeps_the_device_and_type() -> None:
    s = Selection(open=replace(LOADED.open, device="cpu", dtype="bfloat16"))
    changed = questions.answered(MODEL.id, "gpt2", s)
    assert isinstance(changed, Selection)
    assert (changed.open.source, changed.open.device, changed.open.dtype) == ("gpt2", "cpu", "bfloat16")
