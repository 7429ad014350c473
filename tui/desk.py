"""The middle of the screen: the tree, the picture and the side panel, and what happens in them."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from . import moves, pages, stack
from .arrange import shared_limits
from .commands import by_id
from .contrast import here_on
from .declared import Say
from .names import edge_name
from .pace import Pace
from .page import panel_of
from .pane import Heads, Pane, Pinned, Side
from .results import Limits
from .scene import Moved, Scene
from .selection import Selection
from .views.chart import Bars, Plot
from .views.gallery import Thumbnails
from .views.graph import GraphView
from .views.heatmap import Heatmap
from .views.main_view import MainView, Picture
from .views.model_tree import ModelTree
from .views.side_panel import SidePanel

PANEL = "panel"


class Desk(Horizontal):
    """Draws the selection, and takes the keys and messages of what is drawn."""

    def __init__(self, scene: Scene, pace: Pace, small: Callable[[], bool], followed: Callable[[], None]) -> None:
        """``small``: whether picture and side panel take turns; ``followed``: the cursor has moved in the picture, and
        the selection with it."""
        super().__init__(id="middle")
        self.model_tree, self.main, self.panel = ModelTree(), MainView(), SidePanel()
        self.heads = Heads(self.model_tree, scene.wishes)
        self._scene, self._pace, self._small, self._followed = scene, pace, small, followed
        self._pane, self._side = Pane(self.main, scene.wishes), Side(self.panel, scene.wishes)
        self._cycled = "mode"
        self._walked = (False, -1, -1)
        """Where ``to_largest`` went last."""
        self._beside: MainView | None = None
        """What is pinned is drawn here, while something is."""

    def compose(self) -> ComposeResult:
        self.model_tree.border_title = "Heads"
        self.panel.set_class(not self.panel_open, "closed")
        yield self.model_tree
        yield self.main
        yield self.panel

    @property
    def small(self) -> bool:
        """Whether picture and side panel take turns."""
        return self._small()

    @property
    def panel_open(self) -> bool:
        """Whether the side panel is on the screen."""
        return self._scene.pinned is None and moves.panel_open(self._scene.selection, self.small)

    @property
    def in_front(self) -> Picture:
        """What has the keys when nobody has moved the focus."""
        return self.panel.picture if self.small and self.panel_open else self.main.picture  # type: ignore[return-value]

    @property
    def _at_hand(self) -> Picture:
        """The list that has the focus, else the picture."""
        focused = self.screen.focused
        return focused if isinstance(focused, Bars) else self.main.picture

    @property
    def listed(self) -> str | None:
        """What the cursor of the list that has the keys is on, a part or an edge; None where that list shows no row, ""
        where no list has the keys."""
        focused = self.screen.focused
        if not isinstance(focused, Bars) or focused.table is None:
            return ""
        if (row := focused.row) is None:
            return None
        edge = focused.table.columns[:2] == ("sender", "receiver")
        return edge_name((str(row[0]), str(row[1]))) if edge else str(row[0])

    @property
    def entry(self) -> int | None:
        """Which change the cursor is on, where their list has the keys."""
        focused, s = self.screen.focused, self._scene.selection
        if focused is not self.panel.bars or self.panel.bars.table is None or not self.panel_open:
            return None
        here = panel_of(pages.of(s), s) is stack.CHANGES
        return stack.listed_at(self.panel.bars.table, self.panel.bars.cursor) if here else None

    def change(self, name: str, ask: Callable[[str], None]) -> None:
        """A key for the model's changes; one that writes a change anew asks for it."""
        entry, bars = self.entry, self.panel.bars
        made = stack.pressed(name, self._scene.here, self.listed, entry)
        self._scene.do(made)
        if isinstance(made, Say):
            return
        if name == "write":
            ask("change")
        elif name == "shift" and entry is not None and bars.table is not None:  # the cursor goes with it
            bars.set_cursor(stack.row_of(bars.table, stack.shifted(made, entry)))

    # --- drawing ---

    def draw(self) -> None:
        """Picture and side panel, from what is cached."""
        self._pane.draw(self._scene.selection, _shared(self._scene))
        self._draw_pinned()
        self.draw_panel()
        for bars in (self.main.bars, self.panel.bars):
            bars.mark(self._scene.selection.look(stack.StackLook).marked)

    def _draw_pinned(self) -> None:
        s, pinned = self._scene.selection, self._scene.pinned
        self.screen.set_class(pinned is not None, "pinned")
        if pinned is None:
            if self._beside is not None:
                self._beside.remove()
                self._beside = None
            return
        if self._beside is None and self.query("#pinned"):
            self.call_after_refresh(self._draw_pinned)  # that of the pin before is still being taken away
        elif self._beside is None:
            self._beside = MainView("pinned", follows=True)
            self.mount(self._beside, after=self.main)
            self.call_after_refresh(self._draw_pinned)
        elif self._beside.is_mounted:
            pane, own = Pinned(self._beside, self._scene.wishes), self._scene.own_scale
            pane.draw(s, pinned, self._scene.pinned_difference, _shared(self._scene), own)

    def draw_panel(self) -> None:
        """The side panel alone; never beside the picture of another page."""
        if self._pace.waits("draw"):
            self._pace.draw_now()
            return
        self._pace.cancel("panel")
        self.panel.set_class(not self.panel_open, "closed")
        self.screen.set_class(self.panel_open, "panel-open")
        if self.panel_open:
            self._side.draw(self._scene.selection)
        elif (focused := self.screen.focused) is not None and self.panel in focused.ancestors:
            self.in_front.focus()

    # --- going places ---

    def go(self, there: Moved) -> None:
        """To what a key opened; on a small screen the picture is in front again, unless a side panel was opened."""
        if isinstance(there, Selection) and there.page != self._scene.selection.page:
            there = moves.leave_panel(there, self.small)
            if self.small and pages.of(there).list_first:
                there = moves.next_panel(there, small=True)
        self.put(there, jump=True)

    def put(self, there: Moved, jump: bool = False) -> None:
        """Show it, at once also on a small screen."""
        self._scene.do(there, jump)
        self.draw_panel()
        if self.small:
            self.in_front.focus()

    def cycle(self, key: str = "") -> None:
        """The next value of an option, or the next side panel; "": one back in what was cycled last."""
        s, back = self._scene.selection, not key
        self._cycled = key = key or self._cycled
        if key == PANEL:
            self.put(moves.next_panel(s, self.small, back))
            return
        there, sentence = moves.cycle(s, key, by_id(key).label, back)
        self._scene.do(moves.leave_panel(there, self.small) if key == "mode" else there, said=sentence)

    def move_cursor(self, rows: int, cols: int) -> None:
        """A cursor key: in the list or the tree that has the focus, else in the picture."""
        focused = self.screen.focused
        if isinstance(focused, Bars):
            focused.action_cursor(rows)
        elif isinstance(focused, ModelTree):
            (focused.action_cursor_down if rows > 0 else focused.action_cursor_up)()
        elif (there := self._pane.stepped(self._scene.selection, rows, cols)) is not None:
            self._scene.change(there)
        else:
            self._follow()

    def jump_cursor(self, side: int = 0, down: int = 0, pages: int = 0) -> None:
        """To the first or last column or row, or by half a window."""
        focused = self.screen.focused
        if isinstance(focused, ModelTree) and down:
            focused.move_cursor_to_line(focused.last_line if down > 0 else 0)
        elif side or down:
            self._at_hand.action_edge(side, down)
        else:
            self._at_hand.action_page(pages)
        self._follow()

    def to_largest(self, down: bool) -> None:
        """The largest cell of the cursor's row, or column (``down``); from there, and again, the next largest."""
        heatmap = self.main.heatmap
        grid, (row, col) = heatmap.grid, heatmap.cursor
        if self.main.picture is not heatmap or grid is None or not grid.values.size:
            self._scene.do(Say("the next largest cell is for a matrix: lists are ranked already"))
            return
        line, at = (grid.values[:, col], row) if down else (grid.values[row], col)
        sizes = [abs(value) if grid.diverging else value for value in line.tolist()]
        order = sorted((i for i, size in enumerate(sizes) if size == size), key=lambda i: (-sizes[i], i))
        if not order:
            return
        begun = at in order and (self._walked == (down, row, col) or at == order[0])
        to = order[(order.index(at) + 1) % len(order)] if begun else order[0]
        place = (to, col) if down else (row, to)
        if place == (row, col):
            self._scene.do(Say(f"this is the only number of its {'column' if down else 'row'}"))
        self._walked = (down, *place)
        heatmap.set_cursor(*place)
        self._follow()

    def enter(self) -> None:
        """Open what is under the cursor."""
        hand = self._at_hand
        if isinstance(hand, Plot):
            self._scene.do(Say("nothing on a curve can be opened: rows of the list beside it can, after tab"))
        elif hand.lines() is None:
            self._scene.do(Say("nothing is shown here yet that could be opened"))
        elif isinstance(hand, Bars) and hand.row is None:
            self._scene.do(Say("no row is shown that could be opened: & and enter show all of them"))
        else:
            hand.action_open()

    def _follow(self) -> None:
        """The selection is where the cursor is: at once after a key, since a redraw sets the cursor from it. The
        picture stays: one that depends on the position changes with the cursor of other pages only."""
        if not self._scene.follow(moved := self._pane.followed(self._scene.selection)):
            return
        self._followed()
        if self._scene.pinned is not None:
            self._draw_pinned()
        self.model_tree.point(moved.layer, moved.head)
        if self.panel_open:
            self._pace.later("panel", self._pace.panel_pause, self.draw_panel)

    # --- what the widgets say ---

    @on(MainView.TabClicked)
    def _tab_clicked(self, message: MainView.TabClicked) -> None:
        clicked = next((page for page in pages.every() if page.key == message.key), None)
        if clicked is not None and clicked.name != self._scene.selection.page:
            self.go(moves.to_page(self._scene.selection, clicked.name))

    @on(ModelTree.Chosen)
    def _chosen(self, message: ModelTree.Chosen) -> None:
        place = message.place
        self._scene.do(moves.from_tree(self._scene.selection, place.layer, place.head, place.mlp), jump=True)

    @on(Heatmap.CursorMoved)
    @on(Thumbnails.CursorMoved)
    @on(Bars.CursorMoved)
    @on(GraphView.CursorMoved)
    def _cursor_moved(self, message: CursorMoved) -> None:
        row, col = _place(message)
        left = message.control.cursor not in ((row, col), col if isinstance(message, Thumbnails.OnThumbnail) else row)
        if message.control is self.main.picture and not left:
            self._follow()

    @on(Heatmap.Opened)
    @on(Thumbnails.Opened)
    @on(Bars.Opened)
    @on(GraphView.Opened)
    def _opened(self, message: Opened) -> None:
        if message.control is self.main.picture:
            self.go(moves.open_cell(self._scene.here, *_place(message)))
        elif isinstance(message, Bars.Opened) and message.bars.table is not None:
            self.go(moves.open_row(self._scene.here, message.bars.table, message.row))


CursorMoved = Heatmap.CursorMoved | Thumbnails.CursorMoved | Bars.CursorMoved | GraphView.CursorMoved
Opened = Heatmap.Opened | Thumbnails.Opened | Bars.Opened | GraphView.Opened


def _place(message: CursorMoved | Opened) -> tuple[int, int]:
    """The cell that a message is about, as pages count it."""
    if isinstance(message, Thumbnails.OnThumbnail):
        return 0, message.index
    return message.row, message.col if isinstance(message, Heatmap.OnCell) else 0


def _shared(scene: Scene) -> Limits | None:
    """The colour scale that the picture and the pinned one share; None: each has its own."""
    if scene.own_scale or scene.pinned is None:
        return None
    cached = scene.wishes.cached
    return shared_limits(*(here_on(pages.of(one), one, cached).drawn for one in (scene.selection, scene.pinned)))
