"""The tree of layers and heads, or a list of some heads in an order of one's own.

Words beside a head and the stars of bookmarks are laid over the lines that Textual draws and keeps: labels come in
while heads are being looked at, and change the lines that show them, not the tree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from ..text import shorten, width
from .surface import laid_over

Head = tuple[int, int]
"""Layer and head."""
MARK = "★"
NARROW = 18
"""Columns below which ``0.94`` is written ``.94``."""


@dataclass(frozen=True)
class Place:
    """A node: a head, an MLP (``mlp``), a whole layer, or nothing of these: the direct path."""

    layer: int | None = None
    head: int | None = None
    mlp: bool = False


class ModelTree(Tree[Place]):
    """Layers, their heads and MLPs. The node under the cursor is the one that the views show; where the list has no
    such head, there is no cursor."""

    COMPONENT_CLASSES = {"tree--words"}
    DEFAULT_CSS = """
    ModelTree { overflow-x: hidden; }
    ModelTree > .tree--words { color: $foreground 65%; }
    ModelTree.astray > .tree--cursor, ModelTree.astray:focus > .tree--cursor {
        background: transparent; color: $foreground; text-style: none;
    }
    """

    class Chosen(Message):
        """The user moved to a node."""

        def __init__(self, place: Place) -> None:
            super().__init__()
            self.place = place

    def __init__(self) -> None:
        super().__init__("model", id="tree")
        self.show_root = False
        self.guide_depth = 2
        self.auto_expand = False
        self._branches: dict[Place, TreeNode[Place]] = {}
        self._announced = Place()
        self._shape = (0, 0, False)
        self._order: tuple[Head, ...] | None = None
        self._folded: set[int | None] = set()
        """Layers that are folded in the tree, also while there is a list in its place."""
        self._words: dict[Head, str] = {}
        self._marks: frozenset[Head] = frozenset()

    def build(self, n_layers: int, n_heads: int, has_mlp: bool, labels: Mapping[Head, str] = {}) -> None:
        """The tree of a model; ``labels`` are words beside a head's name."""
        self._shape, self._order = (n_layers, n_heads, has_mlp), None
        self._words, self._marks, self._folded = dict(labels), frozenset(), set()
        self._grow()

    def list_heads(self, order: Sequence[Head] | None) -> None:
        """List these heads in this order; None: all of them by layer. The cursor stays on its head."""
        order = None if order is None else tuple(order)
        if order == self._order:
            return
        if self._order is None:
            nodes = self._branches.items()
            self._folded = {place.layer for place, node in nodes if node.allow_expand and node.is_collapsed}
        self._order = order
        self._grow()
        node = self._branches.get(self._announced)
        self._stray(node is None)
        if self.last_line >= 0:  # asking for it numbers the lines
            self.move_cursor(node or self.get_node_at_line(0))

    def label(self, labels: Mapping[Head, str], marks: Collection[Head]) -> None:
        """Other words beside the heads, and a star before some."""
        words, stars = dict(labels), frozenset(marks)
        changed = {head for head in words.keys() | self._words.keys() if words.get(head) != self._words.get(head)}
        changed |= stars ^ self._marks
        self._words, self._marks = words, stars
        if changed:
            self.refresh()

    def _grow(self) -> None:
        self.clear()
        self._branches = {}
        n_layers, n_heads, has_mlp = self._shape
        if self._order is not None:
            for layer, head in self._order:
                self._add(self.root, f" L{layer}H{head}", Place(layer, head))  # the blank is for the star
            return
        self._add(self.root, "direct path", Place())
        for layer in range(n_layers):
            node = self.root.add(f"L{layer}", Place(layer), expand=layer not in self._folded)
            self._branches[Place(layer)] = node
            for head in range(n_heads):
                self._add(node, f"H{head}", Place(layer, head))
            if has_mlp:
                self._add(node, "MLP", Place(layer, mlp=True))

    def _add(self, parent: TreeNode[Place], label: str, place: Place) -> None:
        self._branches[place] = parent.add_leaf(label, place)

    def point(self, layer: int, head: int | None) -> None:
        """Put the cursor on a head (None: the direct path) without announcing it."""
        place = Place() if head is None else Place(layer, head)
        node = self._branches.get(place)
        self._announced = place
        self._stray(node is None and bool(self._branches))
        if node is None or self.cursor_node is node:
            return
        if node.parent is not None and not node.parent.is_expanded:
            node.parent.expand()
        self.call_after_refresh(self._move, node)

    def _move(self, node: TreeNode[Place]) -> None:
        if self._branches.get(self._announced) is node:  # else: another place, or another list, since
            self.move_cursor(node)

    def _stray(self, astray: bool) -> None:
        """Whether the head that the views show is none of those listed."""
        self.set_class(astray, "astray")

    def _take_first(self) -> bool:
        """A key that moves the cursor where there is none: it comes to be where it would be seen."""
        node = self.cursor_node
        if not self.has_class("astray") or node is None or node.data is None:
            return False
        self._stray(False)
        self._announced = node.data
        self.post_message(self.Chosen(node.data))
        return True

    def action_cursor_down(self) -> None:
        if not self._take_first():
            super().action_cursor_down()

    def action_cursor_up(self) -> None:
        if not self._take_first():
            super().action_cursor_up()

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Place]) -> None:
        event.stop()
        place = event.node.data
        if event.node is not self.cursor_node or self.has_class("astray"):
            return  # a list that has become shorter has moved the cursor, not the user
        if place is not None and place != self._announced and self.has_focus:
            self._announced = place
            self.post_message(self.Chosen(place))

    def on_tree_node_selected(self, event: Tree.NodeSelected[Place]) -> None:
        event.stop()
        place = event.node.data
        if place is None:
            return
        if place.layer is not None and place.head is None and not place.mlp:
            event.node.toggle()
        else:
            self.post_message(self.Chosen(place))

    # --- drawing ----------------------------------------------------------------------------------------------------

    def process_label(self, label: str | Text) -> Text:
        """Names are no markup: reading it takes half of the time in which a tree of 1024 heads grows."""
        return Text(label) if isinstance(label, str) else label

    def get_label_width(self, node: TreeNode[Place]) -> int:
        """Of the name alone, for words are cut to the room there is."""
        return len(str(node.label)) + (len(self.ICON_NODE) if node.allow_expand else 0)

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        node = self.get_node_at_line(y + self.scroll_offset.y)
        head = _head_of(node)
        if node is None or head is None:
            return self._without_heads(strip, y) if self._order == () else strip
        start = 0 if self._order is not None else self.guide_depth
        end = start + len(str(node.label))
        style = next((style for _, style, _ in strip.crop(end - 1, end) if style), Style())
        if head in self._marks:
            strip = laid_over(strip, max(0, start - 1), [Segment(MARK, style)])
        columns = self.scrollable_content_region.width  # the scroll bar covers the rest
        room = columns - end - 1
        words = fitted(self._words.get(head, ""), room, columns < NARROW)
        if words:
            if node is not self.cursor_node or self.has_class("astray"):
                style += Style(color=self.get_component_rich_style("tree--words").color)
            # At the right edge, so that numbers stand below each other.
            strip = laid_over(strip, end, [Segment(" " * (room + 1 - width(words)) + words, style)])
        return strip

    def _without_heads(self, strip: Strip, y: int) -> Strip:
        lines = wrap("no head matches", max(1, self.scrollable_content_region.width))
        text = lines[y] if y < len(lines) else ""
        return Strip([Segment(text.ljust(strip.cell_length), self.rich_style)]) if text else strip


def _head_of(node: TreeNode[Place] | None) -> Head | None:
    place = node.data if node is not None else None
    return None if place is None or place.layer is None or place.head is None else (place.layer, place.head)


def fitted(words: str, room: int, brief: bool = False) -> str:
    """``ind 0.94`` in so many columns: where they are too few, fewer letters before the number. ``brief``: ``.94``."""
    name, _, number = words.rpartition(" ")
    if brief and number.lstrip("-−").startswith("0."):
        number = number.replace("0.", ".", 1)
    left = room - width(number) - 1
    if number[-1:].isdecimal() and name.isascii() and left > 0:
        return f"{name[:left]} {number}".lstrip()
    return shorten(f"{name} {number}".strip(), room)
