"""A circuit as a graph: lanes, marks, and what is in sight; readable without any colour."""

from __future__ import annotations

from tui.results import Graph, Header, Link
from tui.text import width
from tui.views.colours import Scheme
from tui.views.graph import MARKS, UNKNOWN, drawn, lanes_of, lines_of, mark_of, rows_of

NODES = ("embed", "L0H1", "L0H2", "L0.mlp", "L1H0", "logits")
LINKS = (Link(0, 1, (("q", 0.9),)), Link(0, 3, (("", -0.3),)), Link(1, 4, (("k", 0.5), ("q", 0.1))),
         Link(2, 4, (("v", -0.05),)), Link(3, 5, (("", None),)), Link(4, 5, (("", 0.02),)))  # fmt: skip
GRAPH = Graph(Header("circuit-graph", "", ""), NODES, LINKS, "recovered")


def text(graph: Graph, columns: int = 60, lines: int = 20, cursor: int = 0, mode: str = "none") -> list[str]:
    strips = drawn(graph, columns, lines, Scheme(mode), cursor, True)  # type: ignore[arg-type]
    assert all(strip.cell_length == columns for strip in strips)
    return [strip.text.rstrip() for strip in strips]


def test_a_node_a_line_and_a_lane_a_sender() -> None:
    assert text(GRAPH) == [
        " embed  ─┐",
        "         │",
        " L0H1   ◀●─┐      q 0.900",
        " L0H2   ─│─│─┐",
        " L0.mlp ◀◦─│─│─┐  −0.300",
        "           │ │ │",
        " L1H0   ◀┬─●─∘ │",
        "         │     │",
        " logits ◀·─────┼",
    ]


def test_lanes_are_taken_again() -> None:
    assert lanes_of(GRAPH) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 0}, "the embedding's lane is free below the MLP"
    rows = lines_of(GRAPH)
    for link in LINKS:
        piece = rows[link.receiver][1 + 2 * lanes_of(GRAPH)[link.sender]]
        assert piece.link is link
        between = [rows[node][1 + 2 * lanes_of(GRAPH)[link.sender]] for node in range(link.sender + 1, link.receiver)]
        assert all(piece.sender == link.sender for piece in between), "a lane is nobody else's in between"
    assert [row[0].char for row in rows] == ["─", "◀", "─", "◀", "◀", "◀"]


def test_marks_say_size_and_sign() -> None:
    assert [mark_of(share, 1.0) for share in (1.0, 0.3, 0.1, -1.0, -0.3, -0.1)] == [*MARKS[True], *MARKS[False]]
    assert mark_of(None, 1.0) == UNKNOWN
    assert len({*MARKS[True], *MARKS[False], UNKNOWN, "─", "│"}) == 9
    assert all(width(char) == 1 for char in (*MARKS[True], *MARKS[False], UNKNOWN))


def test_the_cursors_edges_have_their_numbers() -> None:
    by_name = {line.split()[0]: line for line in text(GRAPH, cursor=4)}
    assert by_name["L0H1"].endswith("k 0.500 q 0.100")
    assert by_name["L0H2"].endswith("v −0.0500")
    assert by_name["logits"].endswith("0.0200")


def test_layers_are_apart_where_there_is_room_and_the_cursor_is_in_sight() -> None:
    assert rows_of(GRAPH, 20, 0) == [0, None, 1, 2, 3, None, 4, None, 5]
    assert rows_of(GRAPH, 8, 0) == [0, 1, 2, 3, 4, 5]
    assert rows_of(GRAPH, 3, 5) == [3, 4, 5]
    for cursor in range(6):
        assert cursor in rows_of(GRAPH, 2, cursor)


def test_narrow_windows_show_the_cursors_own_lane() -> None:
    for columns in (10, 24, 27, 60):
        for cursor in range(6):
            text(GRAPH, columns, 20, cursor)
    assert any("…" in line for line in text(GRAPH, 25))


def test_no_edges() -> None:
    assert text(Graph(GRAPH.header, ("L0H1",), (), "z")) == [" L0H1"]
