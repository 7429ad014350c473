"""Words that every page uses: numbers, checks, the answer, the status line."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.app.recorded import head, tokens
from tests.app.selected import FILE, PARIS, here, loaded, unknown
from tui import phrases
from tui.declared import Here
from tui.engine.jobs import Target
from tui.results import Axis, Grid, Table, Tokens, frozen
from tui.selection import Answer, Selection

LOADED = loaded(text="The capital of France")


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0.00"), (1.234, "1.23"), (-1.5, "−1.50"), (0.001, "1.0e−03"), (123456.0, "1.2e+05"), (None, "–"),
     (math.nan, "–")],
)  # fmt: skip
def test_numbers_are_short_and_never_nan(value: float | None, said: str) -> None:
    assert phrases.number(value) == said


def test_shares_have_three_digits() -> None:
    assert [phrases.share(value) for value in (0.5, None, math.nan)] == ["0.500", "–", "–"]


def test_the_status_line_names_every_convention() -> None:
    assert phrases.conventions(LOADED) == "demo · cpu · float32 · processed weights · BOS"
    assert phrases.conventions(replace(LOADED, weights="raw", bos=False)).endswith("raw weights · no BOS")
    assert phrases.conventions(Selection()) == "demo"


@pytest.mark.parametrize(
    ("bos_from", "said"), [("text", "BOS typed, none added"), ("tokenizer", "BOS of the tokenizer, none added")]
)
def test_a_bos_that_is_not_added_is_said(bos_from: str, said: str) -> None:
    brought = replace(tokens(["<|bos|>", " The"], True), bos_from=bos_from)  # type: ignore[arg-type]
    assert phrases.conventions(replace(LOADED, tokens=brought)).endswith(said)


def test_checks_are_identities_with_their_error() -> None:
    header = head("pattern", "q", "f", checks={"max |softmax(scaled) − pattern|": 3e-8, "max |a| / max |b|": 1.0})
    header = replace(header, details={"W_QK [128, 128]": "rank 32", "attn_scale": 5.656854})
    assert phrases.checks(header) == "softmax(scaled) = pattern ±3e-08  ·  W_QK [128, 128] rank 32  ·  attn_scale 5.66"
    assert phrases.checks(header, facts=False) == "softmax(scaled) = pattern ±3e-08"
    assert phrases.error(0.0) == "exactly"


def test_the_sum_of_the_parts_stands_beside_the_models_value() -> None:
    header = head("attribution", "q", "f", checks={"value": 17.9, "sum": 17.9, "error": 2e-6})
    assert phrases.checks(header) == "Σ parts 17.900 = value 17.900 ±2e-06"


def test_the_help_explains_the_page_in_full() -> None:
    grid = Grid(head("qk", "QK circuit", "x W x"), frozen(np.zeros((1, 1))), Axis("q", ("a",)), Axis("k", ("a",)), True)
    about = phrases.about("L0H0 · QK", grid)
    assert "L0H0 · QK: QK circuit" in about
    assert "formula: x W x" in about
    assert "in force: bos on" in about
    assert phrases.about("L0H0 · QK", None) == "L0H0 · QK"


def test_the_users_answer_is_named_as_it_was_understood_else_as_typed() -> None:
    deep = replace(LOADED, likeliest=PARIS)
    chosen = Answer(Target((6, 10), (7,)), "Paris, Rome - London")
    assert phrases.aim_in_line(replace(deep, answer=chosen)) == "answer Paris, Rome − London"
    labelled = replace(chosen, text="#6 - #7", label="·Paris − ·London")
    assert phrases.aim_in_line(replace(deep, answer=labelled)) == "answer ·Paris − ·London"
    assert phrases.aim_in_line(deep) == "answer ·Paris"
    assert phrases.aim_in_line(LOADED) == "", "no prediction yet"


def test_where_the_cursor_is() -> None:
    assert phrases.where(replace(LOADED, row=4)) == "at ·France (4)"
    assert phrases.where(replace(LOADED, tokens=None)) == ""
    assert phrases.over_file(replace(LOADED, file=FILE)) == "over facts.jsonl (2 prompts)"
    assert phrases.over_file(LOADED) == ""


def test_a_cell_is_named_with_its_value() -> None:
    axis = Axis("row", ("a", "b"))
    grid = Grid(head("x", "q", "f"), frozen(np.array([[1.0, np.nan], [2.5, -3.0]])), axis, axis, False,
                (("x", ""), ("", "")))  # fmt: skip
    on = Here(LOADED, grid, unknown)

    def line(cell: tuple[int, int], digits: int | None = 3) -> str:
        return "".join(text for text, _ in phrases.cell_line(on, cell, "{0} at {1}", "measured", digits))

    assert line((1, 1)) == " b at b   measured −3.000"
    assert line((0, 0)) == " a at a   x  measured 1.000"
    assert line((0, 1)) == " a at b   measured –"
    assert line((9, 9)) == line((1, 1)), "a cursor that is past the end is on the last cell"
    assert line((0, 1), None).endswith("–")
    assert line((1, 0), None).endswith(" 2.5")
    assert phrases.cell_line(replace(on, drawn=None), (0, 0), "", "") == [(" …", "$text-muted")]


def test_a_row_of_a_list_is_named_with_its_numbers() -> None:
    table = Table(head("x", "q", "f"), ("part", "effect", "share"), (("L0H1", 1.0, 0.5), ("embed", -2.0, 0.25)))
    assert phrases.row_line(table, 1) == phrases.row_line(table, 9)
    assert "".join(text for text, _ in phrases.row_line(table, 1)) == " embed   effect −2.00  share 0.25"
    assert phrases.row_of(table, 0) == {"part": "L0H1", "effect": 1.0, "share": 0.5}


def test_a_neuron_writes_the_same_everywhere() -> None:
    assert phrases.as_tokens("L0.attn", replace(LOADED, row=4)) == "L0.attn at ·France as tokens"
    assert phrases.as_tokens("L0N3", LOADED) == "L0N3 as tokens"
    assert phrases.as_tokens("", LOADED).startswith("nothing here at ")


def test_headers_of_results_that_have_one() -> None:
    assert phrases.header_of(here(LOADED).drawn) is not None
    assert phrases.header_of(LOADED.tokens) is None


def test_a_byte_of_a_character_has_its_id() -> None:
    """Several of one character read alike in a narrow place."""
    made = Tokens((230, 157, 5), ("<0xE6>", "<0x9D>", " town"), (False,) * 3, False)
    assert [phrases.token(made, place) for place in range(4)] == ["<0xE6> #230", "<0x9D> #157", "·town", ""]
    whole = Tokens((230, 157, 177, 5), ("<0xE6>", "<0x9D>", "<0xB1>", " town"), (False,) * 4, False)
    assert [phrases.token(whole, place) for place in range(4)] == ["東₁ #230", "東₂ #157", "東₃ #177", "·town"]
