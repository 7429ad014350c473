"""What answers on the bottom line make of the selection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tui.state import Selection

from tests.app.recorded import KEY, info, tokens
from tui import questions
from tui.engine.jobs import FindTarget, PromptRow, Target, Words
from tui.questions import ANSWER, MODEL, OFFSET, PROMPTS, WORDS, Choice, Problem
from tui.results import Found, Split, Tokens

LOADED = Selection(model=info())
NONE = Tokens((), (), (), False)


@pytest.mark.parametrize("text", ["-1", "64", "x", "", "9" * 400, "1.5", "²"])
def test_an_offset_that_is_none_says_what_is(text: str) -> None:
    assert questions.answered("offset", text, LOADED) == Problem(
        "a whole number from 0 to 63: how far the key lies before the query"
    )


def test_an_offset() -> None:
    assert questions.answered(OFFSET.id, "63", LOADED) == replace(LOADED, offset=63)


@pytest.mark.parametrize(("question", "kind"), [(WORDS, Words), (ANSWER, FindTarget)])
def test_words_are_looked_up_by_the_worker(question: questions.Question, kind: type) -> None:
    assert questions.answered(question.id, "Paris", LOADED) == kind(KEY, "Paris")
    assert isinstance(questions.answered(question.id, "Paris", Selection()), Problem), "no model yet"


def test_empty_answers_go_back_to_the_default() -> None:
    listed = tokens([" Paris"], False)
    s = replace(LOADED, words="Paris", listed=listed, chosen=Target((6,), (7,)), answer_text="Paris - London")
    assert questions.answered(WORDS.id, "", s) == replace(s, words="", listed=None)
    assert questions.answered(ANSWER.id, "", s) == replace(s, chosen=None, answer_text="")
    assert questions.answered(MODEL.id, "", s) == s


def test_answers_and_distractors_become_the_target() -> None:
    job = FindTarget(KEY, "Paris, Rome - London")
    found = Found(tokens([" Paris", " Rome"], False), tokens([" London"], False))
    s = questions.found("answer", job, found, LOADED)
    assert isinstance(s, Selection)
    assert s.chosen == Target((6, 10), (7,))
    assert s.answer_text == job.text
    assert s.measure == "answer", "Residual shows what was asked for"
    looking = replace(LOADED, measure="states")
    assert questions.found("answer", job, Found(found.answers, NONE), looking).measure == "states"  # type: ignore[union-attr]


def test_a_word_of_several_tokens_is_a_choice_between_them() -> None:
    split = Split("Zanzibar", tokens([" Z", "anzibar"], False), tokens(["Z", "anzibar"], False))
    asked = questions.found("answer", FindTarget(KEY, "Zanzibar, Paris - London"), split, LOADED)
    assert isinstance(asked, Choice)
    assert "“Zanzibar”" in asked.sentence
    labels = [label for label, _ in asked.options]
    assert [label.split()[0] for label in labels] == ["·Z", "anzibar", "Z"], "each token once"
    assert "with a space" in labels[0]
    assert "without a space" in labels[-1]
    first = split.with_space.ids[0]
    assert asked.options[0][1] == f"#{first}, Paris - London", "the other words stay"


def test_only_the_whole_word_is_replaced() -> None:
    assert questions.replace_word("Zan, Zanzibar − Zan", "Zan", 5) == "#5, Zanzibar - #5"


def test_a_file_of_prompts(tmp_path: Path) -> None:
    file = tmp_path / "facts.txt"
    file.write_text("The capital of\n\nThe king\n")
    s = questions.answered(PROMPTS.id, str(file), LOADED)
    assert isinstance(s, Selection)
    assert s.file is not None
    assert s.file.rows == (PromptRow("The capital of"), PromptRow("The king"))
    assert s.text == "The capital of"
    assert questions.answered(PROMPTS.id, "", s) == replace(s, file=None), "empty closes it"
    missing = questions.answered(PROMPTS.id, str(tmp_path / "nothing.txt"), LOADED)
    assert isinstance(missing, Problem)
    assert "nothing.txt" in missing.sentence


def test_another_model_keeps_the_device_and_type() -> None:
    s = Selection(open=replace(LOADED.open, device="cpu", dtype="bfloat16"))
    changed = questions.answered(MODEL.id, "gpt2", s)
    assert isinstance(changed, Selection)
    assert (changed.open.source, changed.open.device, changed.open.dtype) == ("gpt2", "cpu", "bfloat16")
