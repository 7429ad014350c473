"""The other prompt of a pair: how it is asked for, what stands below the field, an answer of its own."""

from __future__ import annotations

import pytest
from textual.widgets import Input, Static

from tests.app.driving import driven, settled, text_of, until
from tests.app.recorded import KEY, RecordedBench, tokens
from tests.app.test_patching_page import CLEAN, CORRUPTED, paired
from tui import needs, pages, questions
from tui.declared import Problem
from tui.engine.jobs import FindTarget, Target
from tui.pages.pair import PAIR, aimed, both
from tui.selection import Answer
from tui.views.ask import Ask


@pytest.mark.parametrize(
    ("own", "other", "target", "words"),
    [
        (None, "king - queen", Target((9,), (8,)), "·queen − ·king"),  # changed round
        (None, "king", Target((6,), (8,)), "·Paris − ·king"),
        (None, "Paris", Target((6,)), "·Paris"),
        ((9,), "king - Paris", Target((9,), (8,)), "·queen − ·king"),  # the answer that A set stays
        ((9, 7), "king - Paris", Target((9,), (7,)), "·queen − ·London"),
    ],
)  # fmt: skip
def test_the_other_prompt_may_have_an_answer_of_its_own(
    own: tuple[int, ...] | None, other: str, target: Target, words: str
) -> None:
    """One metric for both prompts, the clean one's: what it lacks is the other prompt's changed round."""
    answer = None
    if own is not None:
        text = "·queen" if len(own) == 1 else "·queen − ·London"
        answer = Answer(Target(own[:1], own[1:]), text, text)
    s, question = paired(answer=answer), questions.named("pair", paired())
    asked = question.answered(s, f"{CORRUPTED} | {other}")
    assert asked == FindTarget(KEY, other, f"{CORRUPTED} | ")
    found = question.found(s, asked, RecordedBench().compute(asked, None))
    assert found.pair is not None
    assert found.pair.text == CORRUPTED
    assert found.pair.before == s.pair
    assert question.before(found) == f"{CORRUPTED} | {other}"
    job = needs.pairing(found)
    assert job is not None
    told = needs.told(found, job, tokens(["<|bos|>", *(f" {word}" for word in CORRUPTED.split())], True))
    assert told.pair is not None
    assert told.pair.before is None
    assert pages.of(told).shown(told).target == target  # type: ignore[union-attr]
    assert aimed(told) == words
    own_side = " − ".join(f"·{word}" for word in other.split(" - "))
    assert both(told) == f"The capital of [France|Rome] is → [{words}|{own_side}]"
    assert needs.failed(found, job).pair == s.pair, "a prompt that cannot be leaves the pair that was there"


def test_an_answer_without_a_prompt_is_the_other_prompts() -> None:
    question = questions.named("pair", paired())
    assert question.answered(paired(), "| king") == FindTarget(KEY, "king", f"{CORRUPTED} | ")
    for text in ("The capital |", "|"):
        answer = question.answered(paired(), text)
        assert isinstance(answer, Problem)
        assert "then | and its answer" in answer.sentence


async def test_both_prompts_stand_side_by_side_while_one_is_typed() -> None:
    async with driven(size=(80, 24)) as (explorer, pilot):
        await pilot.press("P")
        await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
        ask = explorer.app.screen
        shown = ask.query_one("#ask-shown", Static)

        async def typed(text: str, said: str) -> list[str]:
            ask.query_one(Input).value = text
            await until(pilot, lambda: said in str(shown.render()))
            return str(shown.render()).splitlines()

        await until(pilot, lambda: "corrupted" in str(shown.render()))  # what is offered is shown at once
        lines = await typed(f"{CORRUPTED} | king", "·Rome")
        assert lines[2] == "6 tokens, 1 of them another"
        assert lines[0].index("·France") == lines[1].index("·Rome"), "token under token"
        assert lines[0].index("·is") == lines[1].index("·is")
        marked = [span for span in shown.render().spans if "underline" in str(span.style)]  # type: ignore[union-attr]
        assert len(marked) == 2, "the two that differ"
        await typed("The capital of France", "6 tokens against 5: not aligned from position 5 on")
        await typed(CLEAN, "both prompts are the same")
        await typed("The capital of Zanzibar", "Zanzibar")
        ask.query_one(Input).value = "capital"
        await until(pilot, lambda: not shown.display)
        await pilot.press("escape")
        await settled(explorer, pilot)
        assert explorer.selection.pair is None


def test_a_long_pair_begins_near_where_it_parts() -> None:
    long = " ".join(["The", "capital", "of"] * 9 + ["Rome"])
    text = " ".join(["The", "capital", "of"] * 9 + ["France"])
    s = paired(other=long, tokens=tokens(["<|bos|>", *(f" {word}" for word in text.split())], True))
    assert s.pair is not None
    lines = PAIR.shows(s, s.pair.tokens)
    texts = ["".join(piece for piece, _ in line) for line in lines]
    assert texts[0].startswith("clean     … ·")
    assert texts[0].index("·France") == texts[1].index("·Rome") < 70


async def test_an_answer_of_the_other_prompt_by_keys() -> None:
    async with driven() as (explorer, pilot):
        for text, said in ((f"{CORRUPTED} | king - queen", "·queen − ·king"), ("| Rome", "·in − ·Rome")):
            await pilot.press("P")
            await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
            explorer.app.screen.query_one(Input).value = text
            await pilot.press("enter")
            await settled(explorer, pilot)
            assert f"logit difference {said}" in text_of(explorer, "#title")
            assert text_of(explorer, "#prompt-answer") == f"answer {said}"
            assert f"[France|Rome] is → [{said}|" in text_of(explorer, "#explanation")
