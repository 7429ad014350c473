"""Answers and distractors by their words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.circuits.desk import Desk
from tests.models import folders
from tui.engine.jobs import FindTarget
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
