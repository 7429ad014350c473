"""The circuit as a graph: what it is drawn from, its cursor, and what is said and opened of a node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.driving import driven, pressed, settled, text_of
from tests.app.recorded import KEY
from tests.app.selected import PAIR, RUN, here, loaded
from tui.declared import Nothing, Say
from tui.engine.jobs import CircuitComposition, CircuitPaths, Target
from tui.pages import of
from tui.pages.chosen import ChosenLook
from tui.pages.wiring import NodeLook
from tui.results import Graph
from tui.selection import Likeliest, Selection

PARTS, EDGES = ("L0H1", "L0.mlp", "L1H2"), (("embed", "L0H1.v"), ("L0H1", "L1H2.k"))
CIRCUIT = ChosenLook(PARTS, EDGES)


def paired(*looks: ChosenLook) -> Selection:
    s = loaded(*looks, page="wiring")
    return replace(s, pair=PAIR, likeliest=Likeliest(6, " Paris"))


def test_what_it_is_drawn_from() -> None:
    s = loaded(page="wiring")
    page = of(s)
    why = page.job(s)
    assert isinstance(why, Nothing)
    assert why.why.startswith("no circuit yet: c puts")
    s = loaded(CIRCUIT, page="wiring")
    assert page.job(s) == CircuitComposition(KEY, PARTS, EDGES)
    assert page.words(s) == ["circuit of 3 parts and 2 edges", "composition, z", "P measures paths"]
    there = paired(CIRCUIT)
    assert there.corrupted is not None
    assert page.job(there) == CircuitPaths(RUN, there.corrupted, Target((6,), (7,)), PARTS, EDGES)
    assert page.words(there)[:2] == ["circuit of 3 parts and 2 edges", "paths, direct"]
    short = replace(there, pair=replace(PAIR, tokens=replace(PAIR.tokens, ids=(0, 1))))  # type: ignore[type-var]
    why = page.job(short)
    assert isinstance(why, Nothing)
    assert "not aligned" in why.why, "never another measure instead"


def test_its_own_edges_or_all_between_the_parts() -> None:
    own, every = (here(paired(look)).drawn for look in (CIRCUIT, ChosenLook(PARTS)))
    assert isinstance(own, Graph)
    assert isinstance(every, Graph)
    assert own.nodes == ("embed", *PARTS)
    assert [(link.sender, link.receiver) for link in own.links] == [(0, 1), (1, 3)]
    assert every.nodes == ("embed", *PARTS, "logits")
    assert "not drawn" in every.header.explanation, "of many the weak ones are not drawn, and it is said"
    assert "not drawn" not in own.header.explanation


def test_the_cursor_is_on_a_node() -> None:
    s = paired(CIRCUIT)
    page = of(s)
    assert page.cell(s) == (0, 0)
    on = page.at(s, 3, 0)
    assert (page.cell(on), on.look(NodeLook).node, page.part(here(on))) == ((3, 0), "L1H2", "L1H2")
    assert page.part(here(s)) == "", "the embedding is no part"
    said = "".join(text for text, _ in page.line(here(on)))
    assert said.startswith(" L1H2 ")
    assert "L0H1 → L1H2.k" in said
    opened = page.opens(here(on), 3, 0)
    assert isinstance(opened, Selection)
    assert (opened.page, opened.layer, opened.head) == ("pattern", 1, 2)
    assert page.opens(here(s), 0, 0) == Say("embed: there is nothing more to open here")
    gone = on.put(ChosenLook(PARTS[:1]))
    assert page.cell(gone) == (0, 0)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_by_keys(size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with driven(size) as (explorer, pilot):
        await pressed(explorer, pilot, "6", "c", "j", "l", "c", "Q")
        assert "composition, z" in text_of(explorer, "#title")
        graph = explorer.main.graph
        assert explorer.main.picture is graph
        assert graph.graph is not None
        assert graph.graph.nodes == explorer.selection.look(ChosenLook).parts
        await pressed(explorer, pilot, "j")
        assert graph.cursor == 1
        assert text_of(explorer, "#inspector").strip().startswith("L1H1")
        await pressed(explorer, pilot, "c")
        assert explorer.selection.look(ChosenLook).parts == graph.graph.nodes == ("L0H0",), "c takes it out"
        await pressed(explorer, pilot, "enter")
        assert (explorer.selection.page, explorer.selection.name) == ("pattern", "L0H0")
        await pressed(explorer, pilot, "comma")
        await settled(explorer, pilot)
        assert explorer.main.picture is graph
