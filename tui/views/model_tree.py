"""The tree of layers and heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode


@dataclass(frozen=True)
class Place:
    """A node: a head, an MLP (``mlp``), a whole layer, or nothing of these: the direct path."""

    layer: int | None = None
    head: int | None = None
    mlp: bool = False


class ModelTree(Tree[Place]):
    """Layers, their heads and MLPs. The node under the cursor is the one that the views show."""

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

    def build(self, n_layers: int, n_heads: int, has_mlp: bool, labels: Mapping[tuple[int, int], str] = {}) -> None:
        """The tree of a model; ``labels`` are words beside a head's name."""
        self.clear()
        self._branches = {}
        self._add(self.root, "direct path", Place())
        for layer in range(n_layers):
            node = self.root.add(f"L{layer}", Place(layer), expand=True)
            self._branches[Place(layer)] = node
            for head in range(n_heads):
                self._add(node, f"H{head} {labels.get((layer, head), '')}".rstrip(), Place(layer, head))
            if has_mlp:
                self._add(node, "MLP", Place(layer, mlp=True))

    def _add(self, parent: TreeNode[Place], label: str, place: Place) -> None:
        self._branches[place] = parent.add_leaf(label, place)

    def point(self, layer: int, head: int | None) -> None:
        """Put the cursor on a head (None: the direct path) without announcing it."""
        place = Place() if head is None else Place(layer, head)
        node = self._branches.get(place)
        if node is None or (self.cursor_node is node):
            return
        self._announced = place
        if node.parent is not None and not node.parent.is_expanded:
            node.parent.expand()
        self.call_after_refresh(self._move, node)

    def _move(self, node: TreeNode[Place]) -> None:
        if node.data is self._announced or node.data == self._announced:
            self.move_cursor(node)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Place]) -> None:
        event.stop()
        place = event.node.data
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
