"""What the screen says in words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tui.state import File, Selection, run_of

from tests.app.recorded import KEY, RecordedBench, head, info, tokens
from tui import arrange, captions, needs
from tui.engine.jobs import Job, Open, OVRow, PromptRow, Run, Target, Tokenize
from tui.results import Axis, Capabilities, Grid, Table, frozen

PROMPT = tokens(["<|bos|>", " The", " capital", " of", " France"], True)
LOADED = Selection(
    opened=Open(), model=info(), text="The capital of France", tokens=PROMPT,
    tokens_of=Tokenize(KEY, "The capital of France", True),
)  # fmt: skip
BENCH = RecordedBench()


def cached(job: Job) -> Any:
    return BENCH.compute(job, None)


def line(s: Selection) -> str:
    return "".join(text for text, _ in captions.inspector(s, cached))


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0.00"), (1.234, "1.23"), (-1.5, "−1.50"), (0.001, "1.0e−03"), (123456.0, "1.2e+05"), (None, "–"),
     (math.nan, "–")],
)  # fmt: skip
def test_numbers_are_short_and_never_nan(value: float | None, said: str) -> None:
    assert captions.number(value) == said


def test_the_status_line_names_every_convention() -> None:
    assert captions.conventions(LOADED) == "demo · cpu · float32 · processed weights · BOS"
    assert captions.conventions(replace(LOADED, weights="raw", bos=False)).endswith("raw weights · no BOS")
    assert captions.conventions(Selection()) == "demo"


def test_the_title_names_every_option_that_changes_the_numbers() -> None:
    rotary = replace(LOADED, model=info(capabilities=Capabilities(position_terms="rotary")), view="qk", offset=3)
    assert captions.title(rotary, None) == "L0H0 · QK · bilinear · embed · offset 3"
    s = replace(LOADED, view="qk", normalize="zscore", baseline="vocabulary", term="token-position", form="scaled")
    assert captions.title(s, None) == "L0H0 · QK token×pos · scaled · zscore/vocabulary · embed"
    assert captions.title(replace(LOADED, view="ov", head=None), None) == "direct path · W_E W_U · embed"


def test_checks_are_identities_with_their_error() -> None:
    header = head("pattern", "q", "f", checks={"max |softmax(scaled) − pattern|": 3e-8, "max |a| / max |b|": 1.0})
    header = replace(header, details={"W_QK [128, 128]": "rank 32", "attn_scale": 5.656854})
    assert captions.checks(header) == "softmax(scaled) = pattern ±3e-08  ·  W_QK [128, 128] rank 32  ·  attn_scale 5.66"
    assert captions.error(0.0) == "exactly"


def test_the_inspector_says_the_same_cell_of_every_circuit() -> None:
    s = replace(LOADED, row=4, col=1)
    pattern = cached(needs.inspected(s).pattern)  # type: ignore[arg-type]
    said = line(s)
    assert said.startswith(" ·France → ·The ")
    assert f"pattern {pattern.values[4, 1]:.3f}" in said
    for word in ("score ", "QK ", "(z ", "OV ·The → "):
        assert word in said


def test_a_normalised_picture_has_its_own_number_in_the_line() -> None:
    s = replace(LOADED, view="qk", normalize="centered", row=4, col=1)
    grid = cached(needs.shown(s))  # type: ignore[arg-type]
    assert f"centered {captions.number(float(grid.values[4, 1]))}  " in line(s)
    positions = replace(s, term="position-position")
    assert line(positions).startswith(" pos ")
    assert "QK" not in line(positions), "the form of the tokens is another picture's number"


def test_without_a_head_the_pattern_view_shows_the_layer() -> None:
    assert captions.title(replace(LOADED, head=None, mode="scores"), None) == "L0 · all heads"


def test_a_masked_cell_is_called_so() -> None:
    assert "pattern masked" in line(replace(LOADED, row=0, col=3))


def test_in_ov_the_inspector_gives_value_and_rank_of_the_cell() -> None:
    s = replace(LOADED, view="ov", row=4, col=1)
    jobs = needs.inspected(s)
    grid, row = cached(jobs.ov), cached(jobs.ov_row)  # type: ignore[arg-type]
    rank = next(r[1] for r in row.rows if r[0] == "shown" and r[3] == PROMPT.ids[1])
    assert f"OV {captions.number(float(grid.values[4, 1]))} (#{rank})" in line(s)


def test_residual_speaks_of_the_component() -> None:
    assert line(replace(LOADED, view="residual", component=2, row=1)).startswith(" L0.attn at ·The ")


def test_nothing_is_made_up_while_nothing_is_computed() -> None:
    assert captions.inspector(replace(LOADED, tokens=None), lambda job: None) == [("no tokens", "$text-muted")]
    said = "".join(text for text, _ in captions.inspector(LOADED, lambda job: None))
    assert "pattern –" in said


def test_the_panel_shows_tokens_without_ids_in_order_of_rank() -> None:
    table = cached(OVRow(KEY, 0, 0, 4, PROMPT.ids))
    shown = arrange.for_panel(table)
    assert isinstance(shown, Table)
    assert shown.columns == ("rank", "token", "value")
    ranks = [row[0] for row in shown.rows]
    assert ranks == sorted(ranks)  # type: ignore[type-var]
    assert len(shown.rows) == sum(row[0] != "shown" for row in table.rows)


def test_the_help_explains_the_view_in_full() -> None:
    grid = Grid(head("qk", "QK circuit", "x W x"), frozen(np.zeros((1, 1))), Axis("q", ("a",)), Axis("k", ("a",)), True)
    about = captions.about(replace(LOADED, view="qk"), grid.header)
    assert "QK circuit" in about
    assert "formula: x W x" in about
    assert "in force: bos on" in about


def test_panel_titles_name_whose_numbers_they_are() -> None:
    s = replace(LOADED, view="residual", layer=1, panel=1)
    run = Run(KEY, PROMPT.ids, True)
    assert needs.panel_job(s) is not None
    assert run == run_of(s)
    assert captions.panel_title(s) == "L1H0 query at ·France"
    assert captions.panel_title(replace(s, panel=0)) == "stream at ·France"
    assert captions.panel_title(replace(LOADED, view="ov")) == "L0H0: ·France writes"


DEEP = replace(LOADED, likeliest=6, likeliest_text=" Paris", row=4, col=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"view": "lens"}, "logit lens · top token's probability"),
        ({"view": "lens", "lens": "rank"}, "logit lens · answer's rank · ·Paris"),
        ({"view": "attribution"}, "attribution to ·Paris · at ·France (4) · by head"),
        ({"view": "attribution", "grain": "neuron"}, "attribution to ·Paris · at ·France (4) · by neuron · L0.mlp"),
        ({"view": "pattern", "mode": "sources"}, "L0H0 · sources · toward ·Paris"),
        ({"view": "why", "layer": 1}, "L1H0 score · ·France → ·The · by head"),
        ({"view": "neurons"}, "L0 neurons · those that matter most at ·France (4)"),
        ({"view": "neurons", "neuron": (0, 3)}, "L0 neurons"),
        ({"view": "residual", "measure": "states"}, "residual stream · norm of states"),
        ({"view": "residual", "measure": "writes"}, "residual stream · cosines between writes · at ·France (4)"),
        ({"view": "residual", "measure": "answer"}, "residual stream · effect of writes · toward ·Paris"),
    ],
)  # fmt: skip
def test_titles_of_the_stream_in_depth(changes: dict[str, Any], said: str) -> None:
    assert captions.title(replace(DEEP, **changes), None) == said


def test_the_users_answer_is_named_as_typed() -> None:
    s = replace(DEEP, chosen=Target((6, 10), (7,)), answer_text="Paris, Rome - London")
    assert captions.aim_in_line(s) == "answer Paris, Rome − London"
    assert captions.aim_in_line(DEEP) == "answer ·Paris"
    assert captions.aim_in_line(LOADED) == "", "no prediction yet"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"view": "lens", "state": 1}, " L1.pre at ·France   ·in  top token's probability"),
        ({"view": "lens", "lens": "rank", "state": 0}, "rank of the answer"),
        ({"view": "attribution", "layer": 1, "head": 2}, " L1H2 at ·France (4)   toward ·Paris"),
        ({"view": "attribution", "layer": 1, "column": 5}, " L1.mlp at ·France (4) "),
        ({"view": "pattern", "mode": "sources"}, " ·France → ·The   gives toward ·Paris"),
        ({"view": "why", "layer": 1, "pair": (0, 1)}, " embed at the query × pos at the key   of the score"),
        ({"view": "neurons", "neuron_row": 2}, " L0N15 at ·The   activation"),
        ({"view": "residual", "measure": "final", "state": 2}, " L2.pre at ·France   cosine"),
        ({"view": "residual", "measure": "writes", "component": 2, "other": 3}, " L0.attn · L0.mlp   cosine"),
    ],
)
def test_the_line_below_names_what_the_cell_is(changes: dict[str, Any], said: str) -> None:
    assert said in line(replace(DEEP, **changes))


def test_the_sum_of_the_parts_stands_beside_the_models_value() -> None:
    header = head("attribution", "q", "f", checks={"value": 17.9, "sum": 17.9, "error": 2e-6})
    assert captions.checks(header) == "Σ parts 17.900 = value 17.900 ±2e-06"


def test_over_a_file_the_title_says_how_many_prompts() -> None:
    file = File("facts.jsonl", (PromptRow("a"), PromptRow("b")))
    over = replace(DEEP, view="attribution", file=file)
    assert captions.title(over, None) == "attribution by head · mean over facts.jsonl (2 prompts)"


def test_the_strip_is_shaded_by_the_neuron_under_the_cursor() -> None:
    s = replace(DEEP, view="neurons", neuron_row=1)
    grid = cached(needs.shown(s))  # type: ignore[arg-type]
    shade = captions.shade(s, grid)
    assert shade is not None
    assert np.allclose(shade, grid.values[1] / np.abs(grid.values[1]).max())
    assert captions.shade(DEEP, grid) is None


def test_what_is_read_out_as_tokens_is_named() -> None:
    residual = replace(DEEP, view="residual", panel=4)
    assert captions.panel_title(residual, "L0.attn") == "L0.attn at ·France as tokens"
    lens = replace(DEEP, view="lens", panel=3, state=2)
    assert captions.panel_title(lens) == "L2.pre at ·France as tokens"
    sources = replace(DEEP, mode="sources", panel=3)
    assert needs.panel_name(sources) == "directions"
    assert captions.panel_title(sources) == "L0H0 from ·The at ·France as tokens"
    assert captions.panel_title(replace(DEEP, view="neurons"), "L0N3") == "L0N3 as tokens"
