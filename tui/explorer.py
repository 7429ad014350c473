"""The explorer: the one screen. Layout, focus, and one line for each key's action.

A key's action makes another Selection (``moves``), which the ``Scene`` takes; the screen's parts draw it and ask the
user.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input, Static

from . import finding, keys, moves, pages, phrases, scale
from .browsing import Browsing, Lists
from .cards import Cards
from .commands import by_id
from .desk import PANEL, Desk
from .dialogs import Dialogs
from .directory import Directory
from .inview import InView
from .keeping import Keeping, Start
from .messages import EngineEvent
from .pace import Pace
from .pane import Lines, title
from .prompting import Prompting
from .scene import Scene
from .selection import Selection
from .sharing import Sharing
from .touring import Touring
from .views.ask import Ask
from .views.footer import KeysFooter
from .views.frame import send_changes
from .views.head_card import HeadCard
from .views.help import Help
from .views.models import Models
from .views.notice import Notice
from .views.once import drop_outdated
from .views.prompt import PromptInput, PromptLine, TokenStrip
from .views.status import Status
from .views.tour import TourCard
from .wishes import Asks
from .working import Working

NO_CELLS = "values stand in the cells of a matrix, and none is shown here: 1 to 9 show some"


class Explorer(Screen[None]):
    """The widgets, and the parts that fill them."""

    def __init__(
        self, engine: Asks, selection: Selection, history: Sequence[str], draw_pause: float, start: Start, lists: Lists
    ) -> None:
        super().__init__()
        send_changes(self)
        self.engine = engine
        self.pace = Pace(self.set_timer, self.draw, draw_pause)
        self.notice = Notice()
        self.scene = Scene(engine, selection, self, self.notice,
                           lambda: [*self._dialogs.needs(), *self.cards.needs(), *self.sharing.needs()])
        self.desk = Desk(self.scene, self.pace, lambda: self.has_class("turns"),
                         lambda: self._lines.follow(self.selection, self.pace))  # fmt: skip
        self._card = TourCard()
        self.touring = Touring(self._card, self.scene, self.notice)
        self.main, self.panel = self.desk.main, self.desk.panel
        self.cards = Cards(self, self.scene, self.notice)
        self.keeping = Keeping(self, self.scene, self.notice, start)
        self._dialogs = Dialogs(self, self.scene, self.notice)
        self._browsing = Browsing(self, self.scene, self.notice, lists)
        self._working = Working(self, self.scene)
        self._in_view = InView(self, self.scene, self.desk, self.notice)
        self.directory = Directory(self, self.scene, self.desk.go, self._in_view, self.keeping.places)
        self.sharing = Sharing(self, self.scene, self.notice, lambda: self.panel_open, self.action_ask)
        self._status, self._strip, self._inspector = Status(), TokenStrip(), Static(id="inspector")
        self._footer = KeysFooter(lambda: (keys.offers(keys.place(self.focused)), keys.meaningless(self.selection)))
        self._line = PromptLine(selection.text, history)
        self.prompting = Prompting(self._line, self.pace, self.scene)
        self._lines = Lines(self._status, self._line, self._strip, self._inspector, self.scene.wishes)
        self._editing = False
        """Whether the user went to the prompt."""

    # --- layout and focus -------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        # Classes first: on a screen that has its widgets each costs the first paint 30 ms.
        self._fit_to(self.app.size.width, self.app.size.height)
        self.set_class(moves.panel_open(self.selection, self.has_class("turns")), "panel-open")
        yield self._status
        yield self._line
        yield self._strip
        yield self.desk
        yield self.notice
        yield self._card
        yield self._inspector
        yield self._footer

    def on_mount(self) -> None:
        self.main.heatmap.focus()
        self.draw()
        # The first paint comes before the worker starts importing torch.
        self.call_after_refresh(self.set_timer, 0.01, self.scene.start)

    def on_resize(self, event: events.Resize) -> None:
        if drop_outdated(self, event):
            return
        self._fit_to(event.size.width, event.size.height)
        self.on_descendant_focus()
        if self.focused is None:
            self.call_after_refresh(self.focus_view)
        self.pace.draw()

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
        self.desk.in_front.focus()

    def _fit_to(self, width: int, height: int) -> None:
        """Breakpoints: below 130×30 picture and side panel take turns, below 100×30 the tree is narrow and there are no
        frames, below 50×12 there is the picture alone."""
        small, tiny = width < 100 or height < 30, width < 50 or height < 12
        self.update_classes({"turns": width < 130 or height < 30, "small": small, "tiny": tiny, "roomy": height >= 36})

    # --- what the scene asks ----------------------------------------------------------------------------------------

    @property
    def selection(self) -> Selection:
        return self.scene.selection

    @property
    def panel_open(self) -> bool:
        """Whether the side panel is on the screen."""
        return self.desk.panel_open

    def draw_soon(self, rest: float = 0.0) -> None:
        """Draw, when the pace allows it."""
        self.pace.draw(rest)

    def draw(self) -> None:
        """Everything from what is cached; widgets ignore what they show already."""
        self.pace.drawn()
        self.prompting.follow(self.selection)
        self.desk.heads.draw(self.selection, self.cards.notes)
        self._lines.draw(self.selection)
        self.desk.draw()
        self.cards.draw()
        self._footer.renew()
        self.sharing.draw()

    def opened(self) -> None:
        """Another model is open: its tree, its notes."""
        self.desk.heads.build(self.selection)
        noted, (kept, good) = self.cards.read(), self.keeping.opened()
        if said := f"{noted} {kept}".strip():
            self.notice.say(said, good=good and not noted)
        self._browsing.remember()
        self.call_later(self.cards.recall)

    # --- what is said to it -----------------------------------------------------------------------------------------

    @on(EngineEvent)
    def _engine_said(self, message: EngineEvent) -> None:
        self.scene.said(message.event)
        self.keeping.restoring.proceed()
        self._status.line = self.scene.wishes.line
        if not self.pace.waits("draw"):  # else it would say of a model that is there what the picture does not yet
            self._status.activity = self.scene.wishes.activity

    @on(Input.Changed, "#prompt-input")
    def _typed(self) -> None:
        self.prompting.typed()

    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        self.prompting.left()
        self.focus_view()

    @on(TokenStrip.Clicked)
    def _token_clicked(self, message: TokenStrip.Clicked) -> None:
        self.scene.do(finding.to_position(self.selection, message.index))
        if message.twice:
            self.desk.enter()

    @on(Ask.Answered)
    @on(Ask.Picked)
    @on(Ask.Typed)
    def _answered(self, message: Ask.Answered | Ask.Picked | Ask.Typed) -> None:
        id, text = message.question, message.value if isinstance(message, Ask.Picked) else message.text
        if isinstance(message, Ask.Typed):
            self.pace.later("answer", self.pace.typing_pause, lambda: self._dialogs.typed(id, text))
        else:
            self.cards.keeping(lambda: self._dialogs.answered(id, text))

    @on(Models.Chosen)
    def _model_chosen(self, message: Models.Chosen) -> None:
        self._browsing.chosen(message.source)

    @on(HeadCard.Closed)
    @on(HeadCard.Noted)
    @on(HeadCard.ToggleBookmark)
    @on(HeadCard.Step)
    @on(HeadCard.GoTo)
    def _card_said(self, message: HeadCard.OnHead | HeadCard.Step | HeadCard.GoTo) -> None:
        self.cards.told(message)
        self.draw()

    # --- keys -------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a text field has the focus."""
        return not (action == "typed" and isinstance(self.focused, Input))

    async def action_typed(self, command_id: str) -> None:
        await self.touring.after(self.run_action(by_id(command_id).action), command_id)

    def action_show(self, name: str) -> None:
        self.desk.go(moves.to_page(self.selection, name))

    def action_move(self, name: str, by: int = 0) -> None:
        self.scene.do(moves.move(self.selection, name, by), jump=moves.is_jump(name))

    def action_ask(self, id: str) -> None:
        self.notice.settle("option", self._dialogs.ask(id))

    def action_cycle(self, key: str) -> None:
        self.desk.cycle(key)

    def action_cycle_back(self) -> None:
        self.desk.cycle()

    def action_stack(self, name: str) -> None:
        self.cards.keeping(lambda: self.desk.change(name, self.action_ask))

    def action_undo(self) -> None:
        self.action_stack("undo") if self.desk.entry is not None else self.cards.keeping(self.keeping.undo)

    def action_redo(self) -> None:
        self.cards.keeping(lambda: self.keeping.undo(back=False))

    def action_kept(self, name: str) -> None:
        self.keeping.run(name)

    def action_pin(self) -> None:
        self.scene.pin()

    def action_travel(self, back: bool) -> None:
        self.scene.travel(back)

    def action_directions(self) -> None:
        self.desk.put(moves.to_directions(self.selection))

    def action_cycle_panel(self) -> None:
        self.desk.cycle(PANEL)

    def action_toggle_tree(self) -> None:
        self.desk.model_tree.toggle_class("folded")

    def action_cursor(self, rows: int, cols: int) -> None:
        self.desk.move_cursor(rows, cols)

    def action_edge(self, side: int, down: int = 0) -> None:
        self.desk.jump_cursor(side, down)

    def action_largest(self, down: bool) -> None:
        self.desk.to_largest(down)

    def action_page(self, direction: int) -> None:
        self.desk.jump_cursor(pages=direction)

    def action_open(self) -> None:
        self.desk.enter()

    def action_fit(self) -> None:
        if not self.main.heatmap.action_fit():
            self.notice.settle("option", "all of it is in sight already")

    def action_scale(self) -> None:
        if self.scene.pinned is None:
            self.scene.do(scale.toggle(self.scene.here))
        else:
            self.scene.rescale()

    def action_numbers(self) -> None:
        self.notice.settle("option", "" if self.main.toggle_numbers() else NO_CELLS)

    def action_edit_prompt(self) -> None:
        self._editing = True
        self.prompting.edit()

    def action_append_token(self) -> None:
        self.scene.do(self.prompting.append())

    def action_open_card(self) -> None:
        self.scene.do(self.cards.open())

    def action_help(self) -> None:
        self.app.push_screen(Help(keys.entries(), phrases.about(title(pages.of(self.selection), self.selection),
                                                                self.scene.here.drawn)), self.directory.run)

    def action_models(self) -> None:
        self._browsing.open()

    def action_jobs(self) -> None:
        self._working.open()

    def action_find(self) -> None:
        self._in_view.find()

    def action_match(self, by: int) -> None:
        self._in_view.match(by)

    def action_arrange(self, what: str) -> None:
        self._in_view.arrange(what)

    def action_tour(self) -> None:
        self.touring.start()

    def action_palette(self) -> None:
        self.app.action_command_palette()

    def action_choose_theme(self) -> None:
        self.app.action_change_theme()

    def action_export(self) -> None:
        self.sharing.files()

    def action_copy(self) -> None:
        self.sharing.copy()

    def action_quit(self) -> None:
        self.app.exit()

    def key_escape(self) -> None:
        """Close, stop or leave what there is; where there is nothing, go back."""
        panel_left = moves.leave_panel(self.selection, self.desk.small)
        away = self.focused is not self.desk.in_front
        said = self.notice.has_class("shown")
        self.notice.say("")
        if self.scene.stop() or said or away or panel_left != self.selection:
            self.desk.put(panel_left)
            self.focus_view()
        elif not self.touring.leave():
            self.scene.travel(back=True, silent=True)
