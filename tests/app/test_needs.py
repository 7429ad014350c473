"""The wish list: what each selection needs, in which order, and what the answers make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.app.recorded import KEY, info, tokens
from tests.app.selected import FILE, MODEL, PAIR, PARIS, PROMPT, RUN, cached, here, loaded, unknown
from tui import needs, pages
from tui.declared import Here, Nothing
from tui.engine.jobs import (
    OV,
    QK,
    Ablation,
    Attribution,
    AttributionOver,
    Boot,
    Composition,
    HeadScores,
    Job,
    LayerPatterns,
    Lens,
    LensOver,
    Neurons,
    NextTokens,
    Open,
    OVRow,
    Pattern,
    PatternOver,
    Repeats,
    Residual,
    ScoreParts,
    Sources,
    Spectrum,
    Stream,
    Target,
    Tokenize,
    TopPairs,
    VirtualQK,
    Words,
    WriteCosines,
)
from tui.page import offered
from tui.pages.attribution import AttributionLook
from tui.pages.cell import CellJobs, asked
from tui.pages.circuit import CircuitLook, OwnTokens
from tui.pages.compose import ComposeLook
from tui.pages.lens import LensLook
from tui.pages.neurons import NeuronsLook
from tui.pages.pattern import PatternLook
from tui.pages.residual import FlowLook
from tui.pages.states import StateRows
from tui.selection import Answer, Entry, Look, Selection

OPENED = replace(FILE, over=True)
EVERY = [page.name for page in pages.every()]
assert PROMPT is not None

STACK = (Entry(Ablation("L0H1")),)


def wanted(s: Selection, with_panel: bool = True) -> list[Job]:
    return needs.needs(s, unknown, with_panel)


def test_nothing_but_the_model_is_wanted_before_it_is_there() -> None:
    assert wanted(Selection()) == [Open()]


def test_another_model_is_wanted_before_anything_else_of_the_old_one() -> None:
    assert wanted(loaded(open=Open("gpt2"))) == [Open("gpt2")]


def test_changed_text_is_tokenized_first() -> None:
    assert wanted(replace(loaded(), text="The capital")) == [Tokenize(KEY, "The capital", True)]


def test_the_picture_comes_first_then_the_neighbours_then_the_cell_and_labels_last() -> None:
    listed = wanted(loaded(layer=1, head=1), with_panel=False)
    assert listed[0] == Pattern(RUN, 1, 1)
    at = listed.index(Pattern(RUN, 1, 2))
    assert listed[at + 1] == Pattern(RUN, 1, 0)
    assert {type(job) for job in listed[1:at]} == {NextTokens}
    assert listed[at + 2] == Pattern(RUN, 1, 1, "scores"), "what the line below reads"
    assert listed[-1] == HeadScores(KEY, Repeats()), "labels come last"
    assert len(listed) == len(set(listed))


def test_a_closed_side_panel_costs_nothing() -> None:
    s = loaded(page="qk", panel="seeks")
    job = needs.panel_job(s, unknown)
    assert job in wanted(s)
    assert job not in wanted(s, with_panel=False)


def test_neighbours_of_a_search_are_not_searched() -> None:
    assert needs.prefetched(pages.named("pairs"), loaded(page="pairs")) == []
    assert needs.prefetched(pages.named("svd"), loaded(page="svd")) != []


@pytest.mark.parametrize(
    ("look", "changes", "kind"),
    [
        (None, {"page": "pattern"}, Pattern),
        (PatternLook("all heads"), {}, LayerPatterns),
        (None, {"head": None}, LayerPatterns),
        (None, {"page": "qk"}, QK),
        (None, {"page": "ov"}, OV),
        (None, {"page": "ov", "head": None}, OV),
        (None, {"page": "residual"}, Residual),
        (None, {"page": "sources"}, Sources),
        (None, {"page": "lens"}, Lens),
        (LensLook("rank"), {"page": "lens"}, Lens),
        (None, {"page": "attribution"}, Attribution),
        (AttributionLook("neuron"), {"page": "attribution"}, Attribution),
        (None, {"page": "why", "row": 2, "col": 1}, ScoreParts),
        (NeuronsLook((0, 7)), {"page": "neurons"}, Neurons),
        (FlowLook("states"), {"page": "residual"}, Stream),
        (FlowLook("final"), {"page": "residual"}, Stream),
        (FlowLook("writes"), {"page": "residual"}, WriteCosines),
        (None, {"page": "pattern", "file": OPENED}, PatternOver),
        (None, {"page": "lens", "file": OPENED}, LensOver),
        (None, {"page": "attribution", "file": OPENED}, AttributionOver),
        (None, {"page": "ov", "file": OPENED}, OV),
        (None, {"page": "sources", "file": OPENED}, Sources),
        (None, {"page": "heads"}, HeadScores),
        (None, {"page": "compose", "layer": 1}, Composition),
        (ComposeLook(virtual=True), {"page": "compose", "layer": 1}, VirtualQK),
        (None, {"page": "pairs"}, TopPairs),
        (None, {"page": "svd"}, Spectrum),
    ],
)
def test_each_page_draws_its_job(look: Look | None, changes: dict[str, object], kind: type) -> None:
    s = loaded(*([look] if look else []), likeliest=PARIS, **changes)
    assert isinstance(needs.shown(s), kind)
    assert needs.shown(s) in wanted(s)


@pytest.mark.parametrize("name", EVERY)
def test_a_page_without_its_model_tokens_or_head_says_so_or_waits(name: str) -> None:
    """No page may fail on a selection that is not complete yet."""
    page = pages.named(name)
    for s in (Selection(page=name), loaded(page=name, tokens=None), loaded(page=name, head=None), loaded(page=name)):
        shown = page.shown(s)
        assert isinstance(shown, Job | Nothing), s
        for panel in offered(page, s):
            assert isinstance(panel.job(here_unknown(s)), Job | Nothing), panel.name
        assert page.line(here_unknown(s)), "a line at least says that there is nothing yet"
        assert page.words(s)


def here_unknown(s: Selection) -> Here:
    return Here(s, None, unknown)


def test_the_direct_path_has_no_qk_and_says_so() -> None:
    s = loaded(page="qk", head=None)
    assert needs.shown(s) is None
    shown = pages.of(s).shown(s)
    assert isinstance(shown, Nothing)
    assert "the direct path has no QK" in shown.why


def test_the_answer_direction_waits_for_the_prediction() -> None:
    s = loaded(FlowLook("answer"), page="residual")
    assert needs.shown(s) is None
    later = needs.shown(replace(s, likeliest=PARIS))
    assert isinstance(later, Residual)
    assert later.target == Target((6,))
    chosen = needs.shown(replace(s, likeliest=PARIS, answer=Answer(Target((5, 6), (8,)), "")))
    assert isinstance(chosen, Residual)
    assert chosen.target == Target((5, 6), (8,))


def test_the_jobs_carry_every_option_that_changes_their_numbers() -> None:
    s = loaded(page="qk", layer=2, head=3)
    base = needs.shown(s)
    look = CircuitLook()
    for other in (
        replace(look, form="scaled"), replace(look, normalize="zscore"), replace(look, baseline="vocabulary"),
        replace(look, basis="normed"), replace(look, basis="prompt"), replace(look, offset=3),
        replace(look, term="position-token"),
    ):  # fmt: skip
        assert needs.shown(s.put(other)) != base, other
    for change in ({"weights": "raw"}, {"layer": 1}, {"head": 0}, {"stack": STACK, "page": "pattern"}):
        assert needs.shown(replace(s, **change)) != base, change  # type: ignore[arg-type]


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_every_option_of_every_page_changes_what_is_drawn_or_how(name: str, over: bool) -> None:
    """An option that changes neither the job nor the shape nor the title would be a key that does nothing."""
    page = pages.named(name)
    s = loaded(page=name, layer=1, likeliest=PARIS, file=replace(FILE, over=over))
    for option in filter(None, (page.option(each.key, s) for each in page.options)):
        for value in option.choices(s):
            if value != option.of(s) and not option.why_not(s, value):
                other = option.put(s, value)
                what = [(page.shown(t), page.words(t), [p.name for p in offered(page, t)]) for t in (s, other)]
                beside = [[panel.job(here(t)) for panel in offered(page, t)] for t in (s, other)]
                assert what[0] != what[1] or beside[0] != beside[1], (option.key, value)


def test_interventions_are_part_of_every_run() -> None:
    """One place names a forward pass, so that no page can forget what was done to it."""
    for name in EVERY:
        s = loaded(page=name, layer=1, likeliest=PARIS)
        shown, changed = needs.shown(s), needs.shown(replace(s, stack=STACK))
        of_run = getattr(shown, "run", None) is not None or isinstance(shown, HeadScores)
        assert (shown != changed) is of_run, name


def read(s: Selection) -> CellJobs:
    page = pages.of(s)
    row, col = page.token_cell(s)
    made = asked(page, s, row if s.page == "ov" else col)
    assert page.inspects(s) == made.listed()
    return made


def test_the_inspector_asks_for_the_same_cell_of_every_circuit() -> None:
    found = read(loaded(row=2, col=1))
    assert found.pattern is not None
    assert found.scores is not None
    assert found.qk is not None
    assert found.qk.normalize == "none"
    assert found.zscore is not None
    assert (found.zscore.normalize, found.zscore.baseline) == ("zscore", "vocabulary")
    assert isinstance(found.ov_row, OVRow)
    assert found.ov_row.source == PROMPT.ids[1], "outside OV the key token is the source"
    in_ov = read(loaded(page="ov", row=2, col=1)).ov_row
    assert in_ov is not None
    assert in_ov.source == PROMPT.ids[2]


def test_a_token_list_of_ones_own_replaces_the_prompt_in_qk_and_ov_only() -> None:
    listed = tokens([" king", " queen"], False)
    s = loaded(OwnTokens("king, queen", listed, Words(KEY, "king, queen")), page="qk")
    shown = needs.shown(s)
    assert isinstance(shown, QK)
    assert shown.rows == listed.ids
    assert read(s).pattern is None, "the prompt's pattern has no such cell"
    assert isinstance(needs.shown(replace(s, page="pattern")), Pattern)


def test_a_token_list_is_looked_up_for_another_model_and_dropped_where_it_cannot_be() -> None:
    s = loaded(OwnTokens("king"), page="qk")
    job = Words(KEY, "king")
    assert job in wanted(s)
    assert job not in wanted(replace(s, page="pattern")), "only a page that shows it asks"
    listed = tokens([" king"], False)
    there = needs.told(s, job, listed)
    assert there.look(OwnTokens) == OwnTokens("king", listed, job)
    assert job not in wanted(there)
    assert needs.failed(s, job).look(OwnTokens) == OwnTokens()


@pytest.mark.parametrize("name", EVERY)
def test_every_panel_has_a_job_that_is_asked_for(name: str) -> None:
    s = loaded(page=name, layer=1, likeliest=PARIS, col=1, file=FILE, pair=PAIR)
    if name == "attribution":
        s = s.put(layer=1, head=2)
    for look in (None, AttributionLook("neuron"), FlowLook("states"), FlowLook("writes", 2)):
        t = s.put(look) if look else s
        for panel in offered(pages.of(t), t):
            there = replace(t, panel=panel.name)
            job = needs.panel_job(there, cached)
            assert isinstance(job, Job), panel.name
            assert job == panel.job(here(there))
            assert job in needs.needs(there, cached)


def test_a_panel_that_a_page_does_not_have_is_its_first() -> None:
    s = loaded(panel="nowhere")
    assert needs.panel_job(s, unknown) == NextTokens(RUN, 3)
    assert needs.panel_job(replace(s, page="qk", panel="next tokens"), unknown) == needs.panel_job(
        replace(s, page="qk"), unknown
    )


def test_an_answer_is_asked_of_the_lens_only_where_it_matters() -> None:
    """Another answer must not compute the top tokens again."""
    s = loaded(page="lens", likeliest=PARIS)
    other = replace(PARIS, token=8)
    assert needs.shown(s) == needs.shown(replace(s, likeliest=other))
    assert needs.shown(s.put(LensLook("rank"))) != needs.shown(s.put(LensLook("rank"), likeliest=other))


def test_states_in_between_are_part_of_the_job() -> None:
    s = loaded(page="lens")
    assert needs.shown(s) != needs.shown(s.put(StateRows(mids=True)))


# --- what the answers make of it ---


def test_a_model_and_tokens_are_taken_once_and_only_if_they_are_still_wanted() -> None:
    s = needs.told(Selection(text="The capital of"), Open(), MODEL)
    assert (s.model, s.opened) == (MODEL, Open())
    assert needs.told(s, Open(), info()) is s
    assert needs.told(s, Open("gpt2"), info(name="late")) is s
    job = needs.tokenizing(s)
    assert job is not None
    there = needs.told(replace(s, arriving=(1, 0)), job, PROMPT)
    assert (there.tokens, there.row, there.col, there.arriving) == (PROMPT, 1, 0, None)
    assert needs.told(s, Tokenize(KEY, "another text", True), PROMPT) is s


def test_the_likeliest_token_is_that_after_the_last_position() -> None:
    s = loaded(row=1)
    there = needs.told(s, NextTokens(RUN, 3), cached(NextTokens(RUN, 3)))
    best = cached(NextTokens(RUN, 3)).rows[0]
    assert there.likeliest is not None
    assert (there.likeliest.token, there.likeliest.text) == (best[2], best[1])
    assert needs.told(s, NextTokens(RUN, 1), cached(NextTokens(RUN, 1))) == s


def test_the_cursor_goes_to_the_neuron_that_was_named_once() -> None:
    s = loaded(NeuronsLook((0, 8)), page="neurons")
    job = needs.shown(s)
    assert job is not None
    grid = cached(job)
    there = needs.told(s, job, grid)
    assert grid.rows.labels[there.look(NeuronsLook).row] == "L0N8"
    moved = pages.of(there).at(there, 5, 1)
    assert needs.told(moved, job, grid) == moved, "from there on the cursor is the user's"


def test_a_model_that_cannot_be_opened_leaves_the_one_before() -> None:
    assert needs.failed(loaded(open=Open("nowhere")), Open("nowhere")).open == Open()
    assert needs.failed(Selection(open=Open("nowhere")), Open("nowhere")).open == Open("nowhere"), "there is no other"


def test_a_model_that_is_never_run_is_asked_for_its_weights_alone() -> None:
    s = loaded(page="qk", model=info(source="weights only"))
    asked = wanted(s)
    assert isinstance(asked[0], QK)
    assert not any(getattr(job, "run", None) or isinstance(job, HeadScores) for job in asked)
    assert {type(job) for job in wanted(loaded(page="qk"))} - {type(job) for job in asked} >= {NextTokens, HeadScores}
    assert isinstance(wanted(loaded(model=info(source="weights only")))[0], Pattern), "which says why it is not there"


def test_the_model_itself_is_wanted_last_while_only_its_files_are_read() -> None:
    s = loaded(model=info(source="from files"))
    made = Open()
    boot = Boot(made.source, made.device, made.dtype, made.threads, made.how)
    assert wanted(s)[-1] == boot
    assert boot not in wanted(loaded())
    booted = info()
    there = needs.told(s, boot, booted)
    assert (there.model, there.tokens, there.opened) == (booted, s.tokens, s.opened)
    assert needs.booting(there) is None
    apart = info(key=replace(booted.key, apart="1.0e-02"))
    there = needs.told(s, boot, apart)
    assert (there.model, there.tokens) == (apart, None)
    assert needs.told(loaded(), boot, booted) == loaded()
