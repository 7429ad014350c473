"""Compose: the path through two heads, and the circuit through both."""

from __future__ import annotations

import numpy as np
import pytest

from tests.app.recorded import KEY
from tests.app.selected import PROMPT, here, loaded
from tui import moves, needs, pages
from tui.declared import Nothing
from tui.engine.jobs import VirtualOV, VirtualQK
from tui.pages.compose import ComposeLook, path
from tui.results import Grid, Table
from tui.selection import Selection

assert PROMPT is not None


def test_the_earlier_head_comes_first_in_a_path() -> None:
    assert path(loaded(ComposeLook(other=(0, 2)), layer=2, head=1)) == ((0, 2), (2, 1))
    assert path(loaded(ComposeLook(other=(3, 0), direction="into"), layer=2, head=1)) == ((2, 1), (3, 0))


@pytest.mark.parametrize(("direction", "layers"), [("from", ("L0", "L1")), ("into", ("L0", "L1", "L2", "L3"))])
def test_only_heads_on_the_right_side_are_shown(direction: str, layers: tuple[str, ...]) -> None:
    s = loaded(ComposeLook(direction=direction), page="compose", layer=2)  # type: ignore[arg-type]
    drawn = here(s).drawn
    assert isinstance(drawn, Grid)
    assert drawn.rows.labels == layers
    known = ~np.isnan(drawn.values).all(1)
    assert known.tolist() == ([True, True] if direction == "from" else [False, False, False, True])


@pytest.mark.parametrize("direction", ["from", "into"])
def test_a_virtual_head_goes_through_a_head_of_another_layer_on_that_side(direction: str) -> None:
    for layer in range(4):
        s = loaded(ComposeLook("k", direction, (layer, 2), True), page="compose", layer=2)  # type: ignore[arg-type]
        possible = layer < 2 if direction == "from" else layer > 2
        assert isinstance(needs.shown(s), VirtualQK) is possible
        if not possible:
            shown = pages.of(s).shown(s)
            assert isinstance(shown, Nothing)
            assert "another layer" in shown.why


def test_the_circuit_through_both_is_that_of_the_composition() -> None:
    both, ids = ((0, 2), (2, 1)), PROMPT.ids
    for kind, job in (("q", VirtualQK(KEY, both, "q", ids, ids)), ("v", VirtualOV(KEY, both, ids, ids))):
        s = loaded(ComposeLook(kind, other=(0, 2), virtual=True), page="compose", layer=2, head=1)  # type: ignore[arg-type]
        assert needs.shown(s) == job


def test_ranked_heads_lead_to_their_pattern() -> None:
    s = loaded(page="compose", layer=2)
    on = here(s)
    panel = pages.of(s).panels[0]
    job = needs.panel_job(s, on.cached)
    assert job is not None
    result = on.cached(job)
    assert result is not None
    table = panel.shape(on, result)
    assert isinstance(table, Table)
    opened = moves.open_row(on, table, 0)
    assert isinstance(opened, Selection)
    assert (opened.page, opened.name) == ("pattern", table.rows[0][0])
