"""What keys make of a selection: pure functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.app.recorded import KEY, info, tokens
from tests.app.selected import FILE, PAIR, PARIS, ROWS, here, loaded
from tui import moves, needs, pages, tree
from tui.declared import Option, Say
from tui.engine.jobs import Words
from tui.page import offered
from tui.pages import going, states
from tui.pages.attribution import AttributionLook
from tui.pages.chosen import ChosenLook
from tui.pages.circuit import CircuitLook, OwnTokens
from tui.pages.compose import ComposeLook
from tui.pages.neurons import NeuronsLook
from tui.pages.pattern import PatternLook
from tui.pages.residual import FlowLook
from tui.pages.states import StateRows
from tui.results import Capabilities, Table
from tui.selection import Look, Selection, settle

EVERY = [page.name for page in pages.every()]
ROTARY = info(positions="rotary", capabilities=Capabilities(position_terms="rotary positions: there is no W_pos"))


def there(moved: Selection | Say | None) -> Selection:
    assert isinstance(moved, Selection), moved
    return moved


def said(moved: Selection | Say | None) -> str:
    assert isinstance(moved, Say), moved
    return moved.sentence


# --- pages ---


@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_shown_by_its_key_with_its_first_side_panel(name: str) -> None:
    s = moves.to_page(loaded(page="qk", panel="seeks"), name)
    assert (s.page, s.panel) == (name, "")


def test_sources_is_a_page_that_its_key_leaves_again() -> None:
    s = moves.to_page(loaded(), "sources")
    assert s.page == "sources"
    assert moves.to_page(s, "sources").page == "pattern"
    assert moves.to_page(s, "pattern").look(PatternLook).mode == "pattern"


def test_a_virtual_head_is_left_by_the_key_of_its_page() -> None:
    s = loaded(ComposeLook(virtual=True), page="compose", layer=1)
    assert not moves.to_page(s, "compose").look(ComposeLook).virtual
    assert "in Compose" in said(moves.move(loaded(), "virtual"))
    assert there(moves.move(loaded(page="compose"), "virtual")).look(ComposeLook).virtual


# --- heads, layers, positions ---


def test_heads_and_layers_go_round() -> None:
    s = loaded(layer=3, head=3)
    assert there(moves.move(s, "head", 1)).head == 0
    assert there(moves.move(s, "layer", 1)).layer == 0
    assert there(moves.move(replace(s, head=None), "head", 1)).head == 0
    assert there(moves.move(replace(s, head=None), "layer", -1)).head == 0
    assert there(moves.move(Selection(), "head", 1)).steps == (0, 1)
    assert there(moves.move(Selection(steps=(0, 1)), "layer", -1)).steps == (-1, 1)


def test_a_head_by_number() -> None:
    s = there(moves.to_head(loaded(), (2, 1)))
    assert (s.layer, s.head) == (2, 1)
    assert said(moves.to_head(loaded(), (9, 0))) == "there is no L9H0: layers 0 to 3, heads 0 to 3"


def test_the_position_moves_in_every_page_and_stays_inside() -> None:
    s = loaded(page="attribution", row=1)
    assert there(moves.move(s, "position", 1)).position == 2
    assert there(moves.move(s, "position", -9)).position == 0
    assert there(moves.move(s, "position", 99)).position == 3
    empty = loaded(tokens=None)
    assert moves.move(empty, "position", 1) is empty


def test_back_leads_past_what_only_changed_the_look() -> None:
    assert moves.is_jump("head")
    assert moves.is_jump("direct")
    assert not any(map(moves.is_jump, ("position", "bos", "weights", "over", "order")))


def test_the_direct_path_is_no_head_in_ov() -> None:
    s = there(moves.move(loaded(page="qk"), "direct"))
    assert (s.page, s.head) == ("ov", None)


def test_switches() -> None:
    s = loaded()
    assert there(moves.move(s, "weights")).weights == "raw"
    assert there(moves.move(there(moves.move(s, "weights")), "weights")) == s
    assert there(moves.move(s, "bos")).bos is False
    assert "no BOS" in said(moves.move(replace(s, model=info(bos_id=None)), "bos"))
    assert there(moves.move(s, "order")).look(tree.TreeLook).by_score


# --- the tree ---


def test_a_node_of_the_tree() -> None:
    s = loaded(page="lens", head=2)
    assert (there(moves.from_tree(s, 3, 1, False)).layer, there(moves.from_tree(s, 3, 1, False)).head) == (3, 1)
    assert there(moves.from_tree(s, 3, None, False)).head == 2, "a layer keeps the head's number"
    assert there(moves.from_tree(s, None, None, False)).head is None


@pytest.mark.parametrize(("positions", "row"), [("learned", 7), ("rotary", 6)])
def test_an_mlp_of_the_tree_is_its_row_among_the_writes(positions: str, row: int) -> None:
    s = there(moves.from_tree(loaded(FlowLook("states"), model=info(positions=positions)), 2, None, True))
    assert (s.page, s.layer, s.look(FlowLook)) == ("residual", 2, FlowLook("norm", row))
    if positions == "learned":
        drawn = here(s).drawn
        assert drawn.rows.labels[row] == "L2.mlp"  # type: ignore[union-attr]


def test_an_mlp_of_the_tree_is_its_neurons_where_neurons_are_shown() -> None:
    s = there(moves.from_tree(loaded(NeuronsLook((0, 3)), page="neurons"), 2, None, True))
    assert (s.page, s.layer, s.look(NeuronsLook).neuron) == ("neurons", 2, None)
    none = info(capabilities=Capabilities(neurons="experts"))
    assert said(moves.from_tree(loaded(page="neurons", model=none), 2, None, True)) == "experts"


# --- options ---


def test_basis_passes_over_what_is_not_offered() -> None:
    s, passed = moves.cycle(loaded(CircuitLook(basis="normed"), page="qk", layer=0), "basis", "basis")
    assert s.look(CircuitLook).basis == "prompt"
    assert "layer 0" in passed
    higher, _ = moves.cycle(loaded(CircuitLook(basis="normed"), page="qk", layer=1), "basis", "basis")
    assert higher.look(CircuitLook).basis == "effective"


def test_position_terms_are_refused_with_the_models_own_reason() -> None:
    s, passed = moves.cycle(loaded(page="qk", model=ROTARY), "mode", "mode")
    assert s.look(CircuitLook).term == "token-token"
    assert passed == "rotary positions: there is no W_pos"


def test_parallel_blocks_have_no_middle_states_and_say_so() -> None:
    parallel = info(capabilities=Capabilities(states_mid="blocks are parallel", neurons="experts"))
    s, passed = moves.cycle(loaded(model=parallel, page="lens"), "unit", "unit")
    assert not s.look(StateRows).mids
    assert passed == "blocks are parallel"
    by = loaded(AttributionLook("component"), model=parallel, page="attribution")
    assert moves.cycle(by, "unit", "unit")[1] == "experts"
    assert not settle(loaded(StateRows(mids=True), model=parallel)).look(StateRows).mids


def test_a_baseline_says_that_it_will_matter_later() -> None:
    s, sentence = moves.cycle(loaded(page="qk"), "baseline", "baseline")
    assert s.look(CircuitLook).baseline == "vocabulary"
    assert sentence == "rows will be normalised over the whole vocabulary: press n to normalise them"
    assert moves.cycle(s.put(replace(s.look(CircuitLook), normalize="zscore")), "baseline", "baseline")[1] == ""


@pytest.mark.parametrize("name", EVERY)
def test_every_option_comes_round_to_where_it_began(name: str) -> None:
    page, s = pages.named(name), loaded(page=name, layer=1, file=FILE)
    for option in filter(None, (page.option(each.key, s) for each in page.options)):
        possible = [value for value in option.choices(s) if not option.why_not(s, value)]
        seen, at = [], s
        for _ in possible:
            at, _ = moves.cycle(at, option.key, option.key)
            seen.append(option.of(at))
        assert at == s, option.key
        assert sorted(map(str, seen)) == sorted(map(str, possible))


@pytest.mark.parametrize("name", EVERY)
def test_a_key_of_an_option_that_a_page_does_not_have_says_what_to_press(name: str) -> None:
    keys = {option.key for page in pages.every() for option in page.options}
    for s in (loaded(page=name), loaded(page=name, head=None), loaded(page=name, file=replace(FILE, over=True))):
        for key in keys:
            if pages.of(s).option(key, s) is None:
                there, sentence = moves.cycle(s, key, key)
                assert there is s
                assert len(sentence.split()) > 3, (name, key)


def test_over_a_file_the_mode_is_mean_or_spread() -> None:
    s = loaded(file=replace(FILE, over=True))
    spread, _ = moves.cycle(s, "mode", "mode")
    assert (spread.look(PatternLook).statistic, spread.look(PatternLook).mode) == ("spread", "pattern")
    same, sentence = moves.cycle(replace(s, page="lens"), "mode", "mode")
    assert (same.page, sentence) == ("lens", "mean and spread stand side by side here; F shows one prompt")
    by, sentence = moves.cycle(loaded(AttributionLook("component"), page="attribution", file=s.file), "unit", "unit")
    assert by.look(AttributionLook).grain == "head"
    assert sentence == "over a file parts are heads or components; F shows one prompt"


def test_an_option_whose_value_is_none_of_its_values_goes_to_the_first() -> None:
    option = Option("mode", PatternLook, "mode", ("scores", "pattern"))
    assert option.cycle(loaded(PatternLook("all heads")))[0].look(PatternLook).mode == "scores"


def test_an_option_with_one_possible_value_says_why() -> None:
    def only_pattern(s: Selection, value: str) -> str:
        return "" if value == "pattern" else "no"

    option = Option("mode", PatternLook, "mode", ("pattern", "scores"), why_not=only_pattern)
    assert option.cycle(loaded()) == (loaded(), "no")


# --- files of prompts ---


def test_the_next_prompt_of_the_file_is_shown_by_itself() -> None:
    s = there(moves.move(loaded(file=replace(FILE, over=True)), "prompt", 1))
    assert s.file is not None
    assert (s.text, s.file.at, s.file.over) == ("The king", 1, False)
    assert there(moves.move(s, "prompt", 1)).text == ROWS[0].text
    assert moves.move(loaded(), "prompt", 1) == moves.NO_FILE


def test_all_prompts_or_one() -> None:
    s = there(moves.move(loaded(file=FILE), "over"))
    assert s.file is not None
    assert s.file.over
    assert moves.move(loaded(), "over") == moves.NO_FILE
    sentence = said(moves.move(loaded(page="qk", file=FILE), "over"))
    assert sentence == "Pattern, Lens and Attribution can be shown over all prompts: 1, 5, 6"


# --- side panels ---


@pytest.mark.parametrize("name", EVERY)
def test_the_side_panels_are_walked_and_then_closed(name: str) -> None:
    s = loaded(*[ChosenLook(("L0H1",))] * (name == "wiring"), page=name, layer=1, file=FILE)
    names = [panel.name for panel in offered(pages.of(s), s)]
    walked = [names[0]]
    for _ in names[1:]:
        s = moves.next_panel(s, small=False)
        walked.append(s.panel)
    assert walked == names
    closed = moves.next_panel(s, small=False)
    assert (closed.panel, moves.panel_open(closed, small=False)) == ("", False)
    assert moves.next_panel(closed, small=False).panel == names[0]


def test_on_a_small_screen_the_panel_waits_for_the_user() -> None:
    s = loaded()
    assert not moves.panel_open(s, small=True)
    opened = moves.next_panel(s, small=True)
    assert moves.panel_open(opened, small=True)
    assert moves.leave_panel(opened, small=True) == replace(opened, panel_shown="auto")
    assert moves.leave_panel(opened, small=False) == opened
    closed = replace(s, panel_shown="closed")
    assert moves.leave_panel(closed, small=True) == closed, "closed by the user stays closed"


def test_the_vector_under_the_cursor_is_read_out_where_there_is_one() -> None:
    s = there(moves.to_directions(loaded(page="lens", panel_shown="closed")))
    assert (s.panel, moves.panel_open(s, small=True)) == ("directions", True)
    assert there(moves.to_directions(loaded(page="neurons"))).panel == "neuron writes"
    assert there(moves.to_directions(loaded(page="ov"))).panel == "head writes"
    assert said(moves.to_directions(loaded(page="svd"))) == "no vector of the stream is under the cursor here"


# --- the cursor ---


@pytest.mark.parametrize("name", EVERY)
def test_cell_is_the_inverse_of_at(name: str) -> None:
    page = pages.named(name)
    s = page.at(loaded(ChosenLook(("L0H1", "L1H2", "L2H0")), page=name), 2, 1)
    assert page.cell(s) == ((2, 0) if name in ("pairs", "wiring") else (2, 1)), "Pairs is a list, as nodes are"


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("pattern", PatternLook("scores")), ("residual", FlowLook("states")), ("residual", FlowLook("writes")),
        ("attribution", AttributionLook("component")), ("compose", ComposeLook(virtual=True)),
        ("qk", OwnTokens("a", tokens([" king", " queen", " Rome"], False), Words(KEY, "a"))),
        ("lens", StateRows(mids=True)), ("neurons", NeuronsLook((0, 7))),
    ],
)  # fmt: skip
def test_and_so_in_every_mode(name: str, look: Look) -> None:
    page = pages.named(name)
    s = page.at(loaded(look, page=name), 2, 1)
    assert page.cell(s) == (2, 1)


def test_a_list_of_neurons_has_one_column() -> None:
    page = pages.named("attribution")
    assert page.cell(page.at(loaded(AttributionLook("neuron"), page="attribution"), 2, 1)) == (2, 0)


def test_the_cursor_in_attribution_is_a_head_or_an_mlp() -> None:
    page = pages.named("attribution")
    s = page.at(loaded(page="attribution"), 2, 3)
    assert (s.layer, s.head) == (2, 3)
    on_mlp = page.at(s, 1, 5)
    assert (on_mlp.layer, on_mlp.head, page.cell(on_mlp)) == (1, 3, (1, 5)), "the head stays chosen"
    by_key = there(moves.move(on_mlp, "head", 1))
    assert page.cell(by_key) == (1, 0), "a head that is chosen by its key is under the cursor again"


def test_states_keep_the_cursor_when_the_middle_ones_come_and_go() -> None:
    s = loaded(StateRows(state="L2.pre"), page="lens")
    assert states.names(s) == ("L0.pre", "L1.pre", "L2.pre", "L3.pre", "L3.post")
    with_mids, passed = moves.cycle(s, "unit", "unit")
    assert states.under(with_mids) == "L2.pre"
    assert not passed
    on_mid = states.at_row(with_mids, 5)
    assert states.under(on_mid) == "L2.mid"
    back, _ = moves.cycle(on_mid, "unit", "unit")
    assert states.under(back) == "L2.pre"


def test_singular_directions_are_walked_by_the_cursors_keys() -> None:
    s = loaded(page="svd")
    page = pages.of(s)
    second = page.step(s, 1)
    assert second is not None
    assert page.words(second)[-1] == "direction 1"
    assert page.step(s, -1) == s
    assert page.step(s, 99) == page.step(s, 31), "32 directions in a head of 32 dimensions"
    assert pages.named("qk").step(s, 1) is None


# --- enter ---


@pytest.mark.parametrize(
    ("part", "page", "layer", "head"),
    [("L2H3", "pattern", 2, 3), ("L2.attn", "pattern", 2, 1), ("L2.mlp", "neurons", 2, 1), ("L2N17", "neurons", 2, 1)],
)
def test_a_part_leads_to_its_head_or_its_neurons(part: str, page: str, layer: int, head: int) -> None:
    s = there(going.to_part(loaded(page="attribution", head=1), part))
    assert (s.page, s.layer, s.head) == (page, layer, head)
    assert s.look(NeuronsLook).neuron == ((2, 17) if part == "L2N17" else None)


@pytest.mark.parametrize("part", ["embed", "L2.bias", "rounding", "unembed.bias"])
def test_other_parts_lead_nowhere(part: str) -> None:
    assert said(going.to_part(loaded(page="attribution"), part)) == (
        f"{part} is no head and no MLP: there is nothing more to open"
    )
    assert said(going.to_part(loaded(page="attribution"), "")) == ""


def test_a_neuron_that_is_none_is_said() -> None:
    assert said(going.to_neuron(loaded(), (2, 256))) == "there is no L2N256: layers 0 to 3, neurons 0 to 255"
    assert said(going.to_neuron(Selection(), (0, 0))) == "no model is there yet"
    assert said(going.to_neuron(loaded(model=info(capabilities=Capabilities(neurons="experts"))), (0, 0))) == "experts"


def test_a_head_that_is_opened_shows_its_pattern_and_keeps_its_mode() -> None:
    s = loaded(PatternLook("all heads"), page="heads")
    assert there(moves.open_cell(here(s), 2, 3)).look(PatternLook).mode == "pattern"
    opened = there(moves.open_cell(here(loaded(PatternLook("scores"), page="heads")), 2, 3))
    assert (opened.page, opened.layer, opened.head, opened.look(PatternLook).mode) == ("pattern", 2, 3, "scores")


@pytest.mark.parametrize("name", EVERY)
def test_enter_leads_somewhere_or_says_why_not(name: str) -> None:
    s = loaded(page=name, layer=1, likeliest=PARIS, file=FILE, pair=PAIR)
    on = here(s)
    for row, col in ((0, 0), (1, 0)):
        opened = moves.open_cell(here(pages.of(s).at(s, row, col)), row, col)
        assert isinstance(opened, Selection | Say)
        assert isinstance(opened, Say) or opened != s
    for panel in offered(pages.of(s), s):
        chosen = replace(on, s=replace(s, panel=panel.name))
        job = needs.panel_job(chosen.s, on.cached)
        assert job is not None
        result = on.cached(job)
        assert result is not None
        table = panel.shape(chosen, result)
        if isinstance(table, Table):
            opened_row = moves.open_row(chosen, table, 0)
            assert opened_row is None or isinstance(opened_row, Selection | Say)


@pytest.mark.parametrize("name", EVERY)
def test_enter_on_nothing_is_no_fault(name: str) -> None:
    s = loaded(page=name, layer=1)
    waits = replace(here(loaded()), s=s, drawn=None, cached=lambda job: None)
    assert isinstance(moves.open_cell(waits, 0, 0), Selection | Say)


def test_a_context_is_opened_on_its_own_cell() -> None:
    s = loaded(page="pattern", panel="contexts", file=replace(FILE, over=True))
    on = here(s)
    panel = next(panel for panel in offered(pages.of(s), s) if panel.name == "contexts")
    job = needs.panel_job(s, on.cached)
    assert job is not None
    result = on.cached(job)
    assert result is not None
    table = panel.shape(on, result)
    assert isinstance(table, Table)
    first = there(moves.open_row(on, table, 0))
    assert (first.text, first.row, first.col) == ("The capital of", 3, 1)
    second = there(moves.open_row(on, table, 1))
    assert (second.text, second.arriving) == ("The king", (3, 1)), "once its tokens are there"
    assert second.file is not None
    assert not second.file.over
