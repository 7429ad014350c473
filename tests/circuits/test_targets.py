"""Answers and distractors by their words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.circuits.desk import Desk
from tests.models import folders
from tui.engine.jobs import Attribution, FindTarget, Lens, LensCurve, Target
from tui.models.errors import ModelError
from tui.results import Found, Split

PARIS, LONDON, KING = 260, 264, 262


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(folders.gpt2_folder(tmp_path_factory.mktemp("gpt2")))


@pytest.mark.parametrize(
    ("text", "answers", "distractors"),
    [
        ("Paris", (PARIS,), ()),
        ("  Paris  ", (PARIS,), ()),
        ("Paris - London", (PARIS,), (LONDON,)),
        ("Paris − London", (PARIS,), (LONDON,)),
        ("Paris, king,Paris, - London, #17", (PARIS, KING), (LONDON, 17)),
        ("#0 - #269", (0,), (269,)),
        ("a", (64,), ()),
        ("-", (12,), ()),
        (" - ", (12,), ()),
        ("#", (2,), ()),
        ("<|bos|>", (269,), ()),
        ("Paris - London, Paris", (PARIS,), (LONDON, PARIS)),
    ],
)
def test_found(desk: Desk, text: str, answers: tuple[int, ...], distractors: tuple[int, ...]) -> None:
    found = desk.get(FindTarget(desk.key, text))
    assert isinstance(found, Found)
    assert (found.answers.ids, found.distractors.ids) == (answers, distractors)
    assert found.answers.texts == tuple(desk.bench.texts(answers))


@pytest.mark.parametrize("text", ["Rome", "Paris, Rome", "Paris - Rome", "Rome - London", "#17, Rome - Oslo"])
def test_a_word_of_several_tokens_is_split_both_ways(desk: Desk, text: str) -> None:
    split = desk.get(FindTarget(desk.key, text))
    assert isinstance(split, Split)
    assert split.word == "Rome"
    assert split.with_space.texts == (" ", "R", "o", "m", "e")
    assert split.without.texts == ("R", "o", "m", "e")
    # A blank alone is no answer to anything.
    assert [piece.text for piece in split.offered] == ["R", "o", "m", "e"]
    assert [(piece.place, piece.spaced) for piece in split.offered] == [(2, True), (3, True), (4, True), (5, True)]


def test_where_nobody_can_pick(desk: Desk) -> None:
    problem, step = desk.get(FindTarget(desk.key, "Rome")).problem
    assert problem == '"Rome" is 5 tokens: " " "R" "o" "m" "e" (without the blank before it: "R" "o" "m" "e").'
    assert step == 'Write a word that is one token, or a token\'s id: #49 is "R".'
    # The step works.
    assert desk.get(FindTarget(desk.key, "#49")).answers.texts == ("R",)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Paris", "·Paris"),
        ("Paris - London", "·Paris − ·London"),
        ("Paris, king - London, a", "·Paris, ·king − ·London, a"),
        ("9", '"9"'),
        ("9 - 2", '"9" vs "2"'),
        ("Paris - +", '·Paris vs "+"'),
        ("#32, #17 - <|bos|>", 'A, "2" vs ⟨bos⟩'),
        ("-, #198", '"-", "⏎"'),
        ("#220", '"·"'),
    ],
)
def test_label(desk: Desk, text: str, label: str) -> None:
    assert desk.get(FindTarget(desk.key, text)).label == label


def test_headers_name_a_target_in_the_same_words(desk: Desk) -> None:
    run, target = desk.run(256, 257), desk.get(FindTarget(desk.key, "9 - Paris"))
    aim = Target(target.answers.ids, target.distractors.ids)
    assert 'toward "9", away from ·Paris' in desk.get(Attribution(run, -1, aim)).header.explanation
    assert list(desk.get(LensCurve(run, -1, aim)).series) == ['answer "9"', "distractor ·Paris"]
    assert 'rank of "9" (1' in desk.get(Lens(run, "rank", aim)).header.explanation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no answer."),
        (" , ", "There is no answer."),
        ("- London", "There is no answer before the minus."),
        ("Paris -", "There is no distractor after the minus."),
        ("Paris - ,", "There is no distractor after the minus."),
        ("Paris - London - king", "There is more than one minus between blanks."),
        ("Paris - Paris", "The answer and the distractor are the same."),
        ("#270", "Token id 270 does not exist in this model."),
        ("Paris - #" + "9" * 30, f"Token id {'9' * 30} does not exist in this model."),
    ],
)
def test_what_is_no_target(desk: Desk, text: str, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        desk.get(FindTarget(desk.key, text))
    assert raised.value.message == message
    assert raised.value.hint


def test_vocabularies_without_a_tokenizer(tmp_path: Path) -> None:
    listed = Desk(folders.induction_checkpoint(tmp_path / "listed"))
    assert listed.get(FindTarget(listed.key, "c - d, #0")).distractors.ids == (3, 0)
    assert listed.get(FindTarget(listed.key, "c d")).without.ids == (2, 3)
    with pytest.raises(ModelError, match=r'"dog" is not in this model.s vocabulary'):
        listed.get(FindTarget(listed.key, "dog"))
    numbered = Desk(folders.tl_checkpoint(tmp_path / "numbered", *folders.random_checkpoint()))
    assert numbered.get(FindTarget(numbered.key, "7 - 8")).answers.ids == (7,)
    with pytest.raises(ModelError, match='"dog" is not a token id'):
        numbered.get(FindTarget(numbered.key, "dog"))
