"""The explorer: the one screen. Layout, focus, messages of its widgets, and one line for each key's action.

A key's action makes another Selection (``moves``), which the ``Scene`` takes; its parts draw it and ask the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from . import keys, moves, needs, pages, phrases
from .cards import Cards
from .commands import by_id
from .dialogs import Dialogs
from .messages import EngineEvent, ExportWanted
from .names import head_at
from .pace import AWAITED, Pace
from .pane import Heads, Lines, Pane, Side, title
from .prompting import Prompting
from .scene import Moved, Scene
from .selection import Selection
from .views.ask import Ask
from .views.chart import Bars
from .views.frame import send_changes
from .views.gallery import Thumbnails
from .views.head_card import HeadCard
from .views.heatmap import Heatmap
from .views.help import Entry, Help
from .views.main_view import MainView, Picture
from .views.model_tree import ModelTree
from .views.notice import Notice
from .views.palette import Place
from .views.prompt import PromptInput, PromptLine, TokenStrip
from .views.side_panel import SidePanel
from .views.status import Status
from .wishes import Asks


class Explorer(Screen[None]):
    """The widgets, and the parts that fill them."""

    def __init__(self, engine: Asks, selection: Selection, history: Sequence[str], draw_pause: float) -> None:
        super().__init__()
        send_changes(self)
        self.engine = engine
        self.main, self.panel = MainView(), SidePanel()
        self.pace = Pace(self.set_timer, draw_pause)
        self._status, self._strip, self._tree, self._notice = Status(), TokenStrip(), ModelTree(), Notice()
        self._line = PromptLine(selection.text, history)
        self._inspector = Static(id="inspector")
        self._editing = False
        """Whether the user went to the prompt."""
        self.scene = Scene(engine, selection, self, lambda: [*self._dialogs.needs(), *self.cards.needs()])
        wishes = self.scene.wishes
        self.cards = Cards(self, self.scene)
        self._dialogs = Dialogs(self, self.scene, self.settle)
        self._prompting = Prompting(self._line, self.pace, self.scene)
        self._pane, self._side = Pane(self.main, wishes), Side(self.panel, wishes)
        self._lines = Lines(self._status, self._line, self._strip, self._inspector, wishes)
        self._heads = Heads(self._tree, wishes)

    # --- layout -----------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        # Classes first: on a screen that has its widgets each costs the first paint 30 ms.
        self._fit_to(self.app.size.width, self.app.size.height)
        self.set_class(self.panel_open, "panel-open")
        self.panel.set_class(not self.panel_open, "closed")
        yield self._status
        yield self._line
        yield self._strip
        with Horizontal(id="middle"):
            yield self._tree
            yield self.main
            yield self.panel
        yield self._notice
        yield self._inspector
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self._tree.border_title = "Heads"
        self.heatmap.focus()
        self.draw()
        # The first paint comes before the worker starts importing torch.
        self.call_after_refresh(self.set_timer, 0.01, self.scene.start)

    def on_resize(self, event: events.Resize) -> None:
        self._fit_to(event.size.width, event.size.height)
        self.on_descendant_focus()
        if self.focused is None:
            self.call_after_refresh(self.focus_view)
        self.draw_soon()

    def on_descendant_focus(self) -> None:
        """Textual gives the focus of a widget that a tiny window hides to the next one, the prompt: commands must not
        become text there, so it keeps the focus only if the user went there."""
        if isinstance(self.focused, PromptInput) and not self._editing:
            self.set_focus(None)

    def focus_next(self, *args: Any, **options: Any) -> Any:
        self._editing = True
        return super().focus_next(*args, **options)

    def focus_previous(self, *args: Any, **options: Any) -> Any:
        self._editing = True
        return super().focus_previous(*args, **options)

    def on_mouse_down(self) -> None:
        self._editing = True

    def focus_view(self) -> None:
        """The picture has the keys."""
        self._editing = False
        (self.panel.picture if self.small and self.panel_open else self.main.picture).focus()

    def _fit_to(self, width: int, height: int) -> None:
        """Breakpoints: below 100×30 narrow tree and one pane at a time, below 50×12 the picture alone."""
        small, tiny = width < 100 or height < 30, width < 50 or height < 12
        self.update_classes({"small": small, "tiny": tiny, "roomy": height >= 36})

    @property
    def heatmap(self) -> Heatmap:
        return self.main.heatmap

    @property
    def small(self) -> bool:
        return self.has_class("small")

    @property
    def panel_open(self) -> bool:
        """Whether the side panel is on the screen."""
        return moves.panel_open(self.selection, self.small)

    @property
    def selection(self) -> Selection:
        return self.scene.selection

    # --- what the scene asks ----------------------------------------------------------------------------------------

    def draw_soon(self, rest: float = 0.0) -> None:
        """Draw, when the pace allows it."""
        self.pace.draw(self.draw, rest)

    def draw(self) -> None:
        """Everything from what is cached; widgets ignore what they show already."""
        self.pace.drawn()
        self._prompting.follow(self.selection)
        self._heads.draw(self.selection, self.cards.notes)
        self._lines.draw(self.selection)
        self._pane.draw(self.selection)
        self._draw_panel()
        self.cards.draw()

    def _draw_panel(self) -> None:
        if self.pace.waits("draw"):  # never beside the picture of another page
            self.draw()
            return
        self.pace.cancel("panel")
        self.panel.set_class(not self.panel_open, "closed")
        self.set_class(self.panel_open, "panel-open")
        if self.panel_open:
            self._side.draw(self.selection)
        elif self.focused is not None and self.panel in self.focused.ancestors:
            self.focus_view()

    def opened(self) -> None:
        """Another model is open: its tree, its notes."""
        self._heads.build(self.selection)
        if said := self.cards.read():
            self.say(said)

    def say(self, sentence: str, good: bool = False, about: str = "") -> None:
        """A sentence above the inspector, until the next one or esc; "" takes it away."""
        self._notice.say(sentence, good, about)

    def settle(self, about: str, sentence: str = "") -> None:
        """Say what there is to say about something, or take that away."""
        self._notice.settle(about, sentence)

    # --- what widgets say -------------------------------------------------------------------------------------------

    @on(EngineEvent)
    def _engine_said(self, message: EngineEvent) -> None:
        self.scene.said(message.event)
        self._status.activity = self.scene.wishes.activity

    @on(Input.Changed, "#prompt-input")
    def _typed(self) -> None:
        self._prompting.typed()

    @on(Input.Submitted, "#prompt-input")
    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        self._prompting.left()
        self.focus_view()

    @on(Ask.Answered)
    @on(Ask.Picked)
    def _answered(self, message: Ask.Answered | Ask.Picked) -> None:
        text = message.text if isinstance(message, Ask.Answered) else message.value
        self._dialogs.answered(message.question, text)

    @on(HeadCard.Closed)
    @on(HeadCard.Noted)
    @on(HeadCard.ToggleBookmark)
    def _card_said(self, message: HeadCard.OnHead) -> None:
        self.settle("note", self.cards.told(message))
        self.scene.want()
        self.draw()

    @on(HeadCard.GoTo)
    def _left_card(self, message: HeadCard.GoTo) -> None:
        if at := head_at(message.label):
            self.scene.do(moves.to_head(self.selection, at), jump=True)

    @on(ModelTree.Chosen)
    def _chosen(self, message: ModelTree.Chosen) -> None:
        place = message.place
        self.scene.do(moves.from_tree(self.selection, place.layer, place.head, place.mlp), jump=True)

    @on(Heatmap.CursorMoved)
    def _cursor_moved(self, message: Heatmap.CursorMoved) -> None:
        if (message.row, message.col) == self.heatmap.cursor:  # else: a place it has left since
            self._follow()

    @on(Bars.CursorMoved)
    def _row_moved(self, message: Bars.CursorMoved) -> None:
        if message.bars is self.main.picture and message.row == message.bars.cursor:
            self._follow()

    def _follow(self) -> None:
        """The selection is where the cursor is: at once after a key, since a redraw sets the cursor from it. The
        picture stays: one that depends on the position changes with the cursor of other pages only."""
        if not self.scene.follow(moved := self._pane.followed(self.selection)):
            return
        self._lines.draw(moved, lambda draw: self.pace.later("strip", AWAITED, draw))
        self._tree.point(moved.layer, moved.head)
        if self.panel_open:
            self.pace.later("panel", self.pace.panel_pause, self._draw_panel)

    @on(Heatmap.Opened)
    def _opened_cell(self, message: Heatmap.Opened) -> None:
        self._open(message.row, message.col)

    @on(Thumbnails.Opened)
    def _opened_thumbnail(self, message: Thumbnails.Opened) -> None:
        self._open(0, message.index)

    @on(Bars.Opened)
    def _opened_bar(self, message: Bars.Opened) -> None:
        if message.bars is self.main.picture:
            self._open(message.row, 0)
        elif message.bars.table is not None:
            self._go(moves.open_row(self.scene.here, message.bars.table, message.row))

    def _open(self, row: int, col: int) -> None:
        self._go(moves.open_cell(self.scene.here, row, col))

    def _go(self, there: Moved) -> None:
        """To what enter opened; on a small screen the picture is in front again, unless a side panel was opened."""
        if isinstance(there, Selection) and there.page != self.selection.page:
            there = moves.leave_panel(there, self.small)
        self._put_aside(there, jump=True)

    # --- keys -------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a text field has the focus."""
        return not (action == "typed" and isinstance(self.focused, Input))

    async def action_typed(self, command_id: str) -> None:
        await self.run_action(by_id(command_id).action)

    def action_show(self, name: str) -> None:
        self._go(moves.to_page(self.selection, name))

    def action_move(self, name: str, by: int = 0) -> None:
        self.scene.do(moves.move(self.selection, name, by), jump=moves.is_jump(name))

    def action_ask(self, id: str) -> None:
        self.settle("option", self._dialogs.ask(id))

    def action_cycle(self, key: str) -> None:
        there, sentence = moves.cycle(self.selection, key, by_id(key).label)
        self.scene.do(moves.leave_panel(there, self.small) if key == "mode" else there)
        self.settle("option", sentence)

    def action_toggle_tree(self) -> None:
        self._tree.toggle_class("folded")

    def action_directions(self) -> None:
        self._put_aside(moves.to_directions(self.selection))

    def action_cycle_panel(self) -> None:
        self._put_aside(moves.next_panel(self.selection, self.small))

    def _put_aside(self, there: Moved, jump: bool = False) -> None:
        """Show it, at once also on a small screen, where picture and side panel take turns."""
        self.scene.do(there, jump)
        self._draw_panel()
        if self.small:
            self.focus_view()

    def action_travel(self, back: bool) -> None:
        self.scene.travel(back)

    def action_cursor(self, rows: int, cols: int) -> None:
        focused = self.focused
        if isinstance(focused, Bars):
            focused.action_cursor(rows)
        elif isinstance(focused, ModelTree):
            (focused.action_cursor_down if rows > 0 else focused.action_cursor_up)()
        elif (there := self._pane.stepped(self.selection, rows, cols)) is not None:
            self.scene.change(there)
        else:
            self._follow()

    @property
    def _at_hand(self) -> Picture:
        """The list that has the focus, else the picture."""
        return self.focused if isinstance(self.focused, Bars) else self.main.picture

    def action_edge(self, side: int) -> None:
        self._at_hand.action_edge(side)
        self._follow()

    def action_page(self, direction: int) -> None:
        self._at_hand.action_page(direction)
        self._follow()

    def action_open(self) -> None:
        self._at_hand.action_open()

    def action_fit(self) -> None:
        self.heatmap.action_fit()

    def action_edit_prompt(self) -> None:
        self._editing = True
        self._prompting.edit()

    def action_append_token(self) -> None:
        self.scene.do(self._prompting.append())

    def action_open_card(self) -> None:
        self.scene.do(self.cards.open())
        self.scene.want()

    def key_escape(self) -> None:
        self.say("")
        self.scene.stop()
        self._put_aside(moves.leave_panel(self.selection, self.small))
        self.focus_view()

    # --- what the palette and the app ask ---------------------------------------------------------------------------

    @property
    def history(self) -> list[str]:
        """The prompts that were typed."""
        return self._prompting.history

    def places(self, text: str) -> list[Place]:
        """Where a text leads that is no command."""
        found = moves.typed(self.selection, text)
        return [(name, sentence, lambda move=move: self._go(move())) for name, sentence, move in found]  # type: ignore[misc]

    def open_prompts(self, path: str) -> None:
        """Open a file of prompts; what is wrong with it is said."""
        self.scene.do(moves.to_prompts(self.selection, path), jump=True)

    def palette_entries(self) -> list[Entry]:
        """The commands, as help and palette show them."""
        return keys.entries()

    def run_entry(self, command_id: str | None) -> None:
        """Run a command by its id."""
        if command_id is not None:
            self.call_later(self.run_action, by_id(command_id).action)

    def action_help(self) -> None:
        about = phrases.about(title(pages.of(self.selection), self.selection), self.scene.here.drawn)
        self.app.push_screen(Help(keys.entries(), about), self.run_entry)

    def action_palette(self) -> None:
        self.app.action_command_palette()

    def action_choose_theme(self) -> None:
        self.app.action_change_theme()

    def action_export(self) -> None:
        result = self.scene.wishes.cached(needs.shown(self.selection))
        if result is None:
            self.say("nothing is computed yet that could be exported")
        else:
            self.post_message(ExportWanted(result, self.selection))

    def action_quit(self) -> None:
        self.app.exit()
