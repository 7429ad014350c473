"""What answers on the bottom line make of the selection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.recorded import KEY, info, tokens
from tui import pages, questions
from tui.declared import Problem, Question
from tui.engine.jobs import FindTarget, PromptRow, Target, Words
from tui.moves import to_model
from tui.pages.answer import ANSWER
from tui.pages.circuit import OFFSET, WORDS, CircuitLook, OwnTokens
from tui.pages.residual import FlowLook
from tui.questions import PROMPTS, Choice, choice
from tui.results import Capabilities, Found, Split, Tokens
from tui.selection import Answer, Selection

LOADED = Selection(model=info())
NONE = Tokens((), (), (), False)
CHOSEN = Answer(Target((6,), (7,)), "Paris - London")


def test_every_question_is_found_by_its_id_on_every_page() -> None:
    for page in pages.every():
        for question in (*pages.questions(), PROMPTS):
            assert questions.named(question.id, Selection(page=page.name)).id == question.id


@pytest.mark.parametrize("text", ["-1", "64", "x", "", "9" * 400, "1.5", "²"])
def test_an_offset_that_is_none_says_what_is(text: str) -> None:
    assert questions.named("offset", LOADED).answered(LOADED, text) == Problem(
        "a whole number from 0 to 63: how far the key lies before the query"
    )


def test_an_offset() -> None:
    s = OFFSET.answered(LOADED, "63")
    assert isinstance(s, Selection)
    assert s == LOADED.put(CircuitLook(offset=63))
    assert OFFSET.before(s) == "63"


def test_an_offset_is_not_asked_for_where_there_is_none() -> None:
    assert OFFSET.refuses(LOADED) == "no rotary positions: there is no offset to set"
    assert OFFSET.refuses(replace(LOADED, model=info(capabilities=Capabilities()))) == ""


@pytest.mark.parametrize(("question", "kind"), [(WORDS, Words), (ANSWER, FindTarget)])
def test_words_are_looked_up_by_the_worker(question: Question, kind: type) -> None:
    assert question.answered(LOADED, "Paris") == kind(KEY, "Paris")
    assert isinstance(question.answered(Selection(), "Paris"), Problem), "no model yet"


def test_words_that_were_found_are_the_token_list() -> None:
    listed, job = tokens([" Paris"], False), Words(KEY, "Paris")
    s = WORDS.found(LOADED, job, listed)
    assert s.look(OwnTokens) == OwnTokens("Paris", listed, job)
    assert WORDS.before(s) == "Paris"


def test_empty_answers_go_back_to_the_default() -> None:
    listed = tokens([" Paris"], False)
    s = LOADED.put(OwnTokens("Paris", listed), answer=CHOSEN)
    assert WORDS.answered(s, "") == replace(s, looks=())
    assert ANSWER.answered(s, "") == replace(s, answer=None)


def test_answers_and_distractors_become_the_target() -> None:
    job = FindTarget(KEY, "Paris, Rome - London")
    found = Found(tokens([" Paris", " Rome"], False), tokens([" London"], False), "·Paris, ·Rome − ·London")
    s = ANSWER.found(LOADED, job, found)
    assert s.answer == Answer(Target((6, 10), (7,)), job.text, "·Paris, ·Rome − ·London")
    assert ANSWER.before(s) == job.text
    assert s.look(FlowLook).measure == "answer", "Residual shows what was asked for"
    looking = LOADED.put(FlowLook("states"))
    assert ANSWER.found(looking, job, Found(found.answers, NONE)).look(FlowLook).measure == "states"


def test_a_word_of_several_tokens_is_a_choice_between_them() -> None:
    split = Split("Zanzibar", tokens([" Z", "anzibar"], False), tokens(["Z", "anzibar"], False))
    asked = choice("Zanzibar, Paris - London", split)
    assert isinstance(asked, Choice)
    assert "“Zanzibar”" in asked.sentence
    labels = [label for label, _ in asked.options]
    assert [label.split()[0] for label in labels] == ["·Z", "anzibar", "Z"], "each token once"
    assert "after a blank" in labels[0]
    assert "without one" in labels[-1]
    first = split.with_space.ids[0]
    assert asked.options[0][1] == f"#{first}, Paris - London", "the other words stay"


def test_only_the_whole_word_is_replaced() -> None:
    assert questions.replace_word("Zan, Zanzibar − Zan", "Zan", 5) == "#5, Zanzibar - #5"


def test_a_file_of_prompts(tmp_path: Path) -> None:
    file = tmp_path / "facts.txt"
    file.write_text("The capital of\n\nThe king\n")
    s = PROMPTS.answered(LOADED, str(file))
    assert isinstance(s, Selection)
    assert s.file is not None
    assert s.file.rows == (PromptRow("The capital of"), PromptRow("The king"))
    assert s.text == "The capital of"
    assert PROMPTS.before(s) == str(file)
    assert PROMPTS.answered(s, "") == LOADED, "empty closes it, and the prompt that was typed is back"
    missing = PROMPTS.answered(LOADED, str(tmp_path / "nothing.txt"))
    assert isinstance(missing, Problem)
    assert "nothing.txt" in missing.sentence


def test_a_file_of_prompts_says_what_was_not_read_and_keeps_its_fields(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text('{"text": "The capital of", "target": "Paris", "note": 1}\n')
    s = PROMPTS.answered(LOADED, f"{file} --fields prompt=text,answer=target")
    assert isinstance(s, Selection)
    assert s.file is not None
    assert s.file.rows == (PromptRow("The capital of", "Paris"),)
    assert any("note" in note for note in s.file.notes)
    assert PROMPTS.before(s) == f"{file} --fields prompt=text,answer=target", "as it can be entered again"


def test_another_model_keeps_the_device_and_type() -> None:
    s = Selection(open=replace(LOADED.open, device="cpu", dtype="bfloat16"))
    changed = to_model(s, "gpt2")
    assert (changed.open.source, changed.open.device, changed.open.dtype) == ("gpt2", "cpu", "bfloat16")
