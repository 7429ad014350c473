"""Pairs: filters of tokens as they are typed, and where a pair leads."""

from __future__ import annotations

import pytest

from tests.app.recorded import KEY
from tests.app.selected import here, loaded
from tui import moves, needs, pages, questions
from tui.declared import Problem
from tui.engine.jobs import Partners, TokenFilter, TopPairs
from tui.pages.circuit import CircuitLook, Half, OwnTokens
from tui.pages.pairs import PairsLook, parse_filter
from tui.selection import Selection


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", TokenFilter()),
        ("3+", TokenFilter(shortest=3)),
        ("same", TokenFilter(same=False)),
        ("/ing$/ 4+, same", TokenFilter(False, 4, "ing$")),
        ("/a b/", TokenFilter(pattern="a b")),
        ("/(/", "no regular expression"),
        ("long", "no filter"),
    ],
)
def test_filters_of_tokens(text: str, want: TokenFilter | str) -> None:
    got = parse_filter(text)
    assert got == want if isinstance(want, TokenFilter) else want in str(got)


def test_the_filter_is_the_pages_own_question() -> None:
    s = loaded(PairsLook(row=5), page="pairs")
    question = questions.named("filter", s)
    answered = question.answered(s, "3+")
    assert isinstance(answered, Selection)
    assert answered.look(PairsLook) == PairsLook(TokenFilter(shortest=3), "3+"), "the list begins anew"
    assert question.before(answered) == "3+"
    shown = needs.shown(answered)
    assert isinstance(shown, TopPairs)
    assert shown.filter == TokenFilter(shortest=3)
    assert isinstance(question.answered(s, "long"), Problem)


@pytest.mark.parametrize(("circuit", "side"), [("qk", "query"), ("ov", "source")])
def test_the_partners_are_those_of_the_pairs_first_token(circuit: str, side: str) -> None:
    s = loaded(Half(circuit), PairsLook(row=1), page="pairs")  # type: ignore[arg-type]
    assert needs.panel_job(s, here(s).cached) == Partners(KEY, 0, 0, 5, side, "processed", "embed", 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("circuit", ["qk", "ov"])
def test_a_pair_is_opened_in_its_circuit_on_its_two_tokens(circuit: str) -> None:
    s = loaded(Half(circuit), page="pairs")  # type: ignore[arg-type]
    opened = moves.open_cell(here(s), 1, 0)
    assert isinstance(opened, Selection)
    assert (opened.page, opened.look(OwnTokens)) == (circuit, OwnTokens("5,7", row=0, col=1))


def test_a_search_is_over_the_vocabulary() -> None:
    s = loaded(CircuitLook(basis="prompt"), page="pairs")
    assert pages.of(s).settled(s).look(CircuitLook).basis == "embed"
    skipped, sentence = moves.cycle(loaded(CircuitLook(basis="normed"), page="pairs", layer=1), "basis", "basis")
    assert skipped.look(CircuitLook).basis == "effective"
    assert not sentence
    back, sentence = moves.cycle(skipped, "basis", "basis")
    assert back.look(CircuitLook).basis == "embed"
    assert sentence == "a search is over the whole vocabulary: basis prompt reads one text"
