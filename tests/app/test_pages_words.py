"""What each page says: titles, the line below, side panels' titles, the shade of the tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.app.recorded import KEY, info
from tests.app.selected import FILE, PARIS, cached, here, loaded, unknown
from tui import needs, pages, phrases
from tui.contrast import here_on
from tui.engine.jobs import OVRow, PairSearch, PromptRow
from tui.page import offered, panel_of
from tui.pages.attribution import AttributionLook
from tui.pages.cell import asked
from tui.pages.circuit import CircuitLook, Half
from tui.pages.compose import ComposeLook
from tui.pages.lens import LensLook
from tui.pages.neurons import NeuronsLook
from tui.pages.pattern import PatternLook
from tui.pages.residual import FlowLook
from tui.pages.scores import ScoresLook
from tui.pages.states import StateRows
from tui.pages.why import WhyLook
from tui.pane import tabs, title
from tui.results import Capabilities, Gallery, Grid, Pairs, Table
from tui.selection import File, Look, Selection

LOADED = loaded(text="The capital of France")
DEEP = replace(LOADED, likeliest=PARIS, row=4, col=1)
EVERY = [page.name for page in pages.every()]


def title_of(s: Selection) -> str:
    return title(pages.of(s), s)


def line(s: Selection) -> str:
    return "".join(text for text, _ in pages.of(s).line(here(s)))


def panel_title(s: Selection, panel: str = "") -> str:
    s = replace(s, panel=panel)
    chosen = panel_of(pages.of(s), s)
    assert chosen is not None
    assert not panel or chosen.name == panel
    return chosen.title(here(s))


# --- titles ---


def test_the_title_names_every_option_that_changes_the_numbers() -> None:
    model = info(positions="rotary", capabilities=Capabilities(position_terms="rotary"))
    rotary = LOADED.put(CircuitLook(offset=3), model=model, page="qk")
    assert title_of(rotary) == "L0H0 · QK · bilinear · embed · offset 3"
    look = CircuitLook(form="scaled", normalize="zscore", baseline="vocabulary", term="token-position")
    assert title_of(LOADED.put(look, page="qk")) == "L0H0 · QK token×pos · scaled · zscore/vocabulary · embed"
    assert title_of(replace(LOADED, page="ov", head=None)) == "direct path · W_E W_U · embed"


def test_without_a_head_the_pattern_shows_the_layer() -> None:
    assert title_of(LOADED.put(PatternLook("scores"), head=None)) == "L0 · all heads"


@pytest.mark.parametrize(
    ("page", "look", "changes", "said"),
    [
        ("pattern", None, {}, "L0H0 · pattern"),
        ("pattern", PatternLook("value-weighted"), {}, "L0H0 · value-weighted"),
        ("lens", None, {}, "logit lens · top token's probability"),
        ("lens", LensLook("rank"), {}, "logit lens · answer's rank · ·Paris"),
        ("attribution", None, {}, "attribution to ·Paris · at ·France (4) · by head"),
        ("attribution", AttributionLook("neuron"), {}, "attribution to ·Paris · at ·France (4) · by neuron · L0.mlp"),
        ("sources", None, {}, "L0H0 · sources · toward ·Paris"),
        ("why", None, {"layer": 1}, "L1H0 score · ·France → ·The · by head"),
        ("neurons", None, {}, "L0 neurons · those that matter most at ·France (4)"),
        ("neurons", NeuronsLook((0, 3)), {}, "L0 neurons"),
        ("residual", None, {}, "residual stream · norm of writes"),
        ("residual", FlowLook("states"), {}, "residual stream · norm of states"),
        ("residual", FlowLook("writes"), {}, "residual stream · cosines between writes · at ·France (4)"),
        ("residual", FlowLook("answer"), {}, "residual stream · effect of writes · toward ·Paris"),
        ("heads", None, {}, "all heads · induction · on repeated random tokens"),
        ("heads", ScoresLook("copying"), {}, "all heads · copying · by the weights"),
        ("compose", None, {"layer": 1}, "heads that feed the key of L1H0 · z, processed weights"),
        ("compose", ComposeLook("q", "into"), {"layer": 1}, "heads whose query L1H0 feeds · z, processed weights"),
        ("compose", ComposeLook(virtual=True), {"layer": 1}, "L0H0 → L1H0 · virtual QK, key side · embed"),
        ("pairs", Half("qk"), {}, "L0H0 · strongest QK pairs · embed"),
        ("svd", None, {}, "L0H0 · singular values of W_OV · direction 0"),
    ],
)  # fmt: skip
def test_titles(page: str, look: Look | None, changes: dict[str, Any], said: str) -> None:
    s = DEEP.put(*([look] if look else []), page=page, **changes)
    assert title_of(s) == said


def test_over_a_file_the_title_says_how_many_prompts() -> None:
    file = File("facts.jsonl", (PromptRow("a"), PromptRow("b")))
    over = replace(DEEP, page="attribution", file=file)
    assert title_of(over) == "attribution by head · mean over facts.jsonl (2 prompts)"


def test_a_search_is_titled_by_its_pairs() -> None:
    pairs = Pairs(((4, 6),), ((" France", " Paris"),))
    s = DEEP.put(ScoresLook("pairs, OV", pairs=pairs, pairs_text="France>Paris"), page="heads")
    assert isinstance(needs.shown(s), PairSearch)
    assert title_of(s) == "embed OV · mean z of France>Paris"


def test_tabs_name_the_shown_page() -> None:
    numbered = [page.title for page in pages.every() if page.key.isdigit()]
    assert [tab.title for tab in tabs(pages.named("qk"))] == numbered
    assert [tab.title for tab in tabs(pages.named("why"))] == [*numbered, "Why"]
    assert [tab.title for tab in tabs(pages.named("why")) if tab.current] == ["Why"]


# --- the line below ---


def test_the_inspector_says_the_same_cell_of_every_circuit() -> None:
    s = replace(LOADED, row=4, col=1)
    pattern = cached(asked(pages.of(s), s, 1).pattern)
    said = line(s)
    assert said.startswith(" ·France → ·The ")
    assert f"pattern {pattern.values[4, 1]:.3f}" in said
    for word in ("score ", "QK ", "(z ", "OV ·The → "):
        assert word in said


def test_a_normalised_picture_has_its_own_number_in_the_line() -> None:
    s = LOADED.put(CircuitLook(normalize="centered"), page="qk", row=4, col=1)
    grid = cached(needs.shown(s))
    assert f"centered {phrases.number(float(grid.values[4, 1]))}  " in line(s)
    assert "centered" not in line(replace(s, page="pattern")), "no page but those that have it is normalised"
    positions = s.put(replace(s.look(CircuitLook), term="position-position"))
    assert line(positions).startswith(" pos ")
    assert "QK" not in line(positions), "the form of the tokens is another picture's number"


def test_a_masked_cell_is_called_so() -> None:
    assert "pattern masked" in line(replace(LOADED, row=0, col=3))


def test_in_ov_the_inspector_gives_value_and_rank_of_the_cell() -> None:
    s = replace(LOADED, page="ov", row=4, col=1)
    read = asked(pages.of(s), s, 4)
    grid, row = cached(read.ov), cached(read.ov_row)
    assert s.tokens is not None
    rank = next(r[1] for r in row.rows if r[0] == "shown" and r[3] == s.tokens.ids[1])
    assert f"OV {phrases.number(float(grid.values[4, 1]))} (#{rank})" in line(s)


def test_nothing_is_made_up_while_nothing_is_computed() -> None:
    def unread(s: Selection) -> list[tuple[str, str]]:
        return pages.of(s).line(here_on(pages.of(s), s, unknown))

    assert unread(replace(LOADED, tokens=None)) == [("no tokens", "$text-muted")]
    assert "pattern –" in "".join(text for text, _ in unread(LOADED))
    for name in EVERY:
        said = "".join(text for text, _ in unread(replace(LOADED, page=name)))
        numbers = [word for word in said.replace("(", " ").replace(")", " ").split() if word.replace(".", "").isdigit()]
        assert numbers == [], name


@pytest.mark.parametrize(
    ("page", "look", "changes", "said"),
    [
        ("residual", FlowLook(component=2), {"row": 1}, " L0.attn at ·The "),
        ("lens", StateRows(state="L1.pre"), {}, " L1.pre at ·France   ·in  top token's probability"),
        ("lens", LensLook("rank"), {}, "rank of the answer"),
        ("attribution", None, {"layer": 1, "head": 2}, " L1H2 at ·France (4)   toward ·Paris"),
        ("attribution", AttributionLook(column=5, beside=(1, 0)), {"layer": 1}, " L1.mlp at ·France (4) "),
        ("sources", None, {}, " ·France → ·The   gives toward ·Paris"),
        ("why", WhyLook(0, 1), {"layer": 1}, " embed at the query × pos at the key   of the score"),
        ("neurons", NeuronsLook(row=2), {}, " L0N15 at ·The   activation"),
        ("residual", FlowLook("final"), {}, " L2.pre at ·France   cosine"),
        ("residual", FlowLook("writes", 2, 3), {}, " L0.attn · L0.mlp   cosine"),
        ("heads", None, {"layer": 2, "head": 1}, " L2H1   induction"),
        ("compose", ComposeLook(other=(0, 3)), {"layer": 1}, " L0H3   z"),
        ("pairs", Half("qk"), {}, " ·France → ·Paris   QK 9.00"),
        ("svd", None, {}, " direction 0 of 32   σ 9.000"),
    ],
)
def test_the_line_below_says_what_the_cell_is(page: str, look: Look | None, changes: dict[str, Any], said: str) -> None:
    assert said in line(DEEP.put(StateRows(state="L2.pre"), *([look] if look else []), page=page, **changes))


# --- side panels ---


def test_panel_titles_name_whose_numbers_they_are() -> None:
    s = replace(LOADED, page="residual", layer=1)
    assert panel_title(s, "query reads") == "L1H0 query at ·France"
    assert panel_title(s) == "stream at ·France"
    assert panel_title(replace(LOADED, page="ov")) == "L0H0: ·France writes"
    assert panel_title(replace(DEEP, page="qk"), "seeks") == "L0H0: ·France seeks"
    assert panel_title(replace(DEEP, page="qk"), "sought by") == "L0H0: ·The is sought by"
    assert panel_title(replace(DEEP, page="ov"), "nearest in W_U") == "nearest to ·France in W_U"
    assert panel_title(replace(DEEP, file=FILE), "contexts") == "L0H0 attends to ·The"


def test_what_is_read_out_as_tokens_is_named() -> None:
    residual = DEEP.put(FlowLook(component=2), page="residual")
    assert panel_title(residual, "directions") == "L0.attn at ·France as tokens"
    lens = DEEP.put(StateRows(state="L2.pre"), page="lens")
    assert panel_title(lens, "directions") == "L2.pre at ·France as tokens"
    sources = replace(DEEP, page="sources")
    assert panel_title(sources, "directions") == "L0H0 from ·The at ·France as tokens"
    neurons = DEEP.put(NeuronsLook((0, 3)), page="neurons")
    assert panel_title(neurons) == "L0N3 as tokens"


@pytest.mark.parametrize("name", EVERY)
def test_no_two_panels_of_a_page_have_one_title(name: str) -> None:
    s = replace(DEEP, page=name, layer=1, file=FILE)
    titles = [panel.title(here(s)) for panel in offered(pages.of(s), s)]
    assert all(titles)
    assert len(titles) == len(set(titles))


def test_the_panel_shows_tokens_without_ids_in_order_of_rank() -> None:
    s = replace(LOADED, page="ov")
    panel, on = panel_of(pages.of(s), s), here(s)
    assert panel is not None
    job = panel.job(on)
    assert job == replace(asked(pages.of(s), s, 4).ov_row, outputs=tuple(s.tokens.ids))  # type: ignore[type-var, union-attr]
    assert isinstance(job, OVRow)
    assert job.model == KEY
    table = cached(job)
    shown = panel.shape(on, table)
    assert isinstance(shown, Table)
    assert shown.columns == ("rank", "token", "value")
    ranks = [row[0] for row in shown.rows]
    assert ranks == sorted(ranks)  # type: ignore[type-var]
    assert len(shown.rows) == sum(row[0] != "shown" for row in table.rows)


@pytest.mark.parametrize("unit", ["head", "component", "neuron"])
def test_neurons_are_a_list_and_heads_a_picture(unit: Any) -> None:
    s = DEEP.put(AttributionLook(unit), page="attribution", layer=1)
    drawn = here(s).drawn
    assert isinstance(drawn, Table if unit == "neuron" else Grid)
    if isinstance(drawn, Table):
        ranked = list(cached(needs.shown(s)).rows.labels)
        assert [row[0] for row in drawn.rows] == ranked, "they come ranked, the rest last"


# --- the tokens ---


def test_the_strip_is_shaded_by_the_neuron_under_the_cursor() -> None:
    s = DEEP.put(NeuronsLook(row=1), page="neurons")
    grid = cached(needs.shown(s))
    shade = pages.of(s).shade(here(s))
    assert shade is not None
    assert np.allclose(shade, grid.values[1] / np.abs(grid.values[1]).max())
    assert pages.of(DEEP).shade(replace(here(DEEP), drawn=grid)) is None


def test_a_layer_is_a_gallery() -> None:
    assert isinstance(here(DEEP.put(PatternLook("all heads"))).drawn, Gallery)
