"""A circuit as a graph: a node a line in the model's order, a lane a sender, from its line down to its last receiver.

    embed  ─┐
    L0H2   ◀●─┐       what L0H2 receives hangs on the lanes of its senders; its own lane begins at its right
    L2H2   ◀──●

A mark on a lane says how strong an edge is, filled where it is positive, hollow where it is negative, so that nothing
is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.names import part_at
from tui.results import Graph, Link, head_name
from tui.text import shorten, width
from tui.views.colours import RGB, Scheme, mix
from tui.views.plot import number
from tui.views.surface import Drawing

STRONG, MIDDLE = 0.5, 0.2
"""Shares of the strongest edge from which a mark is larger."""
MARKS = {True: "●•·", False: "○◦∘"}
"""Positive, negative: strong, middle, weak."""
UNKNOWN = "┼"
LEGEND = f"●○ {STRONG:.0%} of the strongest or more  •◦ {MIDDLE:.0%}  ·∘ less  hollow: negative"
VALUES = 14
"""Columns for the effects at the right."""
_INKS: dict[tuple[bool, bool], RGB] = {
    (True, True): (240, 150, 60), (True, False): (190, 80, 10), (False, True): (90, 170, 240),
    (False, False): (20, 90, 180),
}  # fmt: skip
"""(positive, on a dark surface) → colour, as in the maps of values around zero."""


@dataclass(frozen=True)
class Piece:
    """A character of the lanes."""

    char: str
    sender: int = -1
    """Whose lane it is; −1: what leads to lanes."""
    link: Link | None = None
    """The edges that a mark stands for."""


def lanes_of(graph: Graph) -> dict[int, int]:
    """Sender → its lane, the first that is free from its line on."""
    ends: list[int] = []
    out: dict[int, int] = {}
    for sender in sorted({link.sender for link in graph.links}):
        last = max(link.receiver for link in graph.links if link.sender == sender)
        lane = next((at for at, end in enumerate(ends) if end < sender), len(ends))
        ends[lane : lane + 1] = [last]
        out[sender] = lane
    return out


def lines_of(graph: Graph) -> list[list[Piece]]:
    """The lanes beside each node, two characters a lane, after one that is ◀ where something is received."""
    lanes, into = lanes_of(graph), {(link.sender, link.receiver): link for link in graph.links}
    strongest = max((abs(link.effect) for link in graph.links if link.effect is not None), default=0.0)
    last = {sender: max(link.receiver for link in graph.links if link.sender == sender) for sender in lanes}
    out = []
    for node in range(len(graph.nodes)):
        joined = {lanes[sender]: link for (sender, receiver), link in into.items() if receiver == node}
        passing = {lane: sender for sender, lane in lanes.items() if sender < node <= last[sender]}
        reach = max([*joined, lanes.get(node, -1)])
        line = [Piece("◀" if joined else "─" if reach >= 0 else " ")]
        for lane in range(1 + max(lanes.values(), default=-1)):
            if lane in joined:
                mark = Piece(mark_of(joined[lane].effect, strongest), joined[lane].sender, joined[lane])
            elif lanes.get(node) == lane:
                mark = Piece("┐" if lane == reach else "┬", node)
            elif lane in passing:
                mark = Piece("│", passing[lane])
            else:
                mark = Piece("─" if lane < reach else " ")
            line += [mark, Piece("─" if lane < reach else " ")]
        out.append(line)
    return out


def mark_of(effect: float | None, strongest: float) -> str:
    """How strong an edge is, as a character."""
    if effect is None:
        return UNKNOWN
    share = abs(effect) / strongest if strongest else 0.0
    return MARKS[effect >= 0][0 if share >= STRONG else 1 if share >= MIDDLE else 2]


def effects_text(link: Link) -> str:
    """``k 0.42 v 0.03``."""
    return " ".join(f"{side} {'?' if effect is None else number(effect)}".strip() for side, effect in link.effects)


def drawn(graph: Graph, columns: int, lines: int, scheme: Scheme, cursor: int, focus: bool) -> list[Strip]:
    """The lines from one on that has the cursor's in sight. Lanes that do not fit give way to the cursor's."""
    label = max(map(width, graph.nodes), default=0) + 2
    room = max(1, (columns - label - VALUES) // 2)
    rows, lanes = lines_of(graph), lanes_of(graph)
    shown = max(0, min(lanes.get(cursor, 0) - room // 2, 1 + max(lanes.values(), default=0) - room))
    cut = 1 + 2 * shown
    plain, accent = Style(color=_hex(scheme.muted)), Style(color=_hex(scheme.accent), bold=True)
    beside = {link.receiver: link for link in graph.links if link.sender == cursor}
    beside |= {link.sender: link for link in graph.links if link.receiver == cursor}
    strongest = max((abs(link.effect) for link in graph.links if link.effect is not None), default=0.0)
    out = []
    there = rows_of(graph, lines, cursor)
    for place, node in enumerate(there):
        if node is None:
            above = there[place - 1]
            between = [piece if above is None else _below(piece, above, graph) for piece in rows[above or 0]]
            pieces = [Piece(" "), *between[cut : cut + 2 * room]]
            segments = [Segment(" " * label, plain)]
            segments += [Segment(piece.char, accent if piece.sender == cursor else plain) for piece in pieces]
            out.append(Strip(segments).extend_cell_length(columns, plain).crop(0, columns))
            continue
        at = node == cursor
        style = Style(color=_hex(scheme.accent if at else scheme.text), bold=at, reverse=at and focus)
        pieces = [rows[node][0], *rows[node][cut : cut + 2 * room]]
        name = graph.nodes[node]
        segments = [Segment(f" {name}", style), Segment(" " * (label - 1 - width(name)), plain)]
        for piece in pieces:
            if piece.link is not None:
                ink = Style(color=_hex(_ink(piece.link, strongest, scheme)), bold=at or piece.sender == cursor)
            else:
                ink = accent if piece.sender == cursor or (at and piece.sender < 0) else plain
            segments.append(Segment(piece.char, ink))
        segments.append(Segment("…" if any(p.char not in " ─" for p in rows[node][cut + 2 * room :]) else " ", plain))
        text = effects_text(beside[node]) if node in beside else ""
        used = label + len(pieces) + 1
        segments.append(Segment(shorten(text, max(0, columns - used)).ljust(max(0, columns - used)), accent))
        out.append(Strip(segments).crop(0, columns))
    return out


def rows_of(graph: Graph, lines: int, cursor: int) -> list[int | None]:
    """The nodes that are in sight; None: a line between two layers, where there is room for all."""
    apart: list[int | None] = []
    for node, name in enumerate(graph.nodes):
        if node and layer_of(name) != layer_of(graph.nodes[node - 1]):
            apart.append(None)
        apart.append(node)
    if len(apart) <= lines:
        return apart
    first = max(0, min(cursor - lines // 2, len(graph.nodes) - lines))
    return [*range(first, min(len(graph.nodes), first + lines))]


def layer_of(name: str) -> str:
    """``L2`` of ``L2H1`` and of ``L2.mlp``; the name itself of what is in no layer."""
    part = part_at(name)
    return name if part is None else head_name(part.layer)


def _below(piece: Piece, node: int, graph: Graph) -> Piece:
    """What is under a node's line: the lanes that lead further down."""
    if piece.sender < 0 or not any(link.sender == piece.sender and link.receiver > node for link in graph.links):
        return Piece(" ")
    return Piece("│", piece.sender)


def _ink(link: Link, strongest: float, scheme: Scheme) -> RGB:
    if link.effect is None or not strongest:
        return scheme.muted
    share = abs(link.effect) / strongest
    return mix(scheme.muted, _INKS[link.effect >= 0, scheme.dark], max(MIDDLE, share))


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


class GraphView(Drawing):
    """A Graph; the cursor is one of its nodes."""

    graph: reactive[Graph | None] = reactive(None, repaint=False)

    class OnNode(Message):
        """Something about one node."""

        def __init__(self, view: GraphView, row: int) -> None:
            super().__init__()
            self.view, self.row = view, row

        @property
        def control(self) -> GraphView:
            return self.view

    class CursorMoved(OnNode):
        """The cursor is on another node."""

    class Opened(OnNode):
        """Enter, or a click on the node that has the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    @property
    def cursor(self) -> int:
        """Which node."""
        return self._at

    def lines(self) -> Sequence[Strip] | None:
        graph, size = self.graph, self.content_size
        if graph is None or not graph.nodes or not size.width or not size.height:
            return None
        focus = self.has_focus or self.scheme.mode == "none"
        made = drawn(graph, size.width, size.height, self.scheme, self._at, focus)
        ink = Style(color=_hex(self.scheme.muted))
        blank = Strip([Segment(" " * size.width, ink)])
        made += [blank] * (size.height - len(made))
        if made[-1] is blank and made[-2] is blank and graph.links:
            made[-1] = Strip([Segment(f" {shorten(LEGEND, size.width - 1)}".ljust(size.width), ink)])
        return made

    def set_cursor(self, row: int) -> None:
        """Put the cursor on a node (clamped): its edges are marked, so all lines change."""
        if self.graph is None or not self.graph.nodes:
            return
        before, self._at = self._at, max(0, min(row, len(self.graph.nodes) - 1))
        if before != self._at:
            self.refresh()
            self.post_message(self.CursorMoved(self, self._at))

    def action_cursor(self, down: int, right: int = 0) -> None:
        self.set_cursor(self._at + down)

    def action_page(self, down: int) -> None:
        self.set_cursor(self._at + down * max(1, self.content_size.height // 2))

    def action_edge(self, side: int, down: int = 0) -> None:
        if self.graph is not None:
            self.set_cursor(0 if (down or side) < 0 else len(self.graph.nodes) - 1)

    def action_open(self) -> None:
        if self.graph is not None:
            self.post_message(self.Opened(self, self._at))

    def watch_graph(self, old: Graph | None, new: Graph | None) -> None:
        self._at = max(0, min(self._at, len(new.nodes) - 1 if new is not None else 0))
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        place, graph = event.get_content_offset(self), self.graph
        if place is None or graph is None:
            return
        there = rows_of(graph, self.content_size.height, self._at)
        row = there[place.y] if place.y < len(there) else None
        if row is not None:
            event.stop()
            (self.action_open if row == self._at else lambda: self.set_cursor(row))()
