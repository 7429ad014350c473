"""The explorer: owns the Selection, asks the engine for what it needs, and hands results to the views.

A key changes the selection; the selection decides the wish list; what is cached is drawn at once and the rest when it
arrives. The previous picture stays, marked as stale, until the new one is there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Input, Static

from . import captions, questions, state
from .commands import COMMANDS, Command, by_id, display, other_keys, typed_keys
from .engine.events import Done, Event, Failed, Idle, Partial, Progress
from .engine.jobs import Job, NextTokens, Open, Tokenize, Words
from .questions import Problem, Question
from .results import Gallery, Grid, ModelInfo, Result, Table, Tokens
from .state import Selection
from .text import is_byte
from .trail import Trail
from .views.ask import Ask
from .views.chart import Bars
from .views.gallery import Thumbnails
from .views.heatmap import Heatmap
from .views.help import Entry, Help
from .views.main_view import MainView
from .views.model_tree import ModelTree, Place
from .views.prompt import PromptInput, PromptLine, TokenStrip
from .views.side_panel import SidePanel
from .views.status import Status

TYPING_PAUSE = 0.15
"""Seconds after the last typed character before the prompt is run."""
AWAITED = 0.06
"""Seconds that a change waits for what it shows: most results come sooner, and one frame is painted instead of two."""
NOTABLE = 0.05
"""Seconds from which a job beside the shown one is named in the status line."""
_OVER = {"shown": "the shown tokens", "vocabulary": "the whole vocabulary"}
PANEL_PAUSE = 0.25
"""Seconds that the cursor must rest before the side panel follows: it is a screenful of bytes, a cursor move is not."""


class EngineEvent(Message):
    """Something the worker said; posted from its thread."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class ExportWanted(Message):
    """The user asked for the shown result as a file."""

    def __init__(self, result: Result, selection: Selection) -> None:
        super().__init__()
        self.result = result
        self.selection = selection


class Asks(Protocol):
    """What the explorer asks of the engine."""

    def want(self, jobs: Sequence[Job]) -> dict[Job, Any]: ...
    def cached(self, job: Job) -> Any: ...
    def retry(self, job: Job) -> None: ...


def bindings(command: Command) -> list[Binding]:
    """A command's keys. Those that are text elsewhere come first of all, whatever has the focus but a text field:
    over a slow link several keys arrive at once, and ``i`` must have moved the focus before the next one is looked at.
    """
    out = []
    for keys, at_once in ((typed_keys(command), True), (other_keys(command), False)):
        if keys:
            out.append(
                Binding(
                    ",".join(keys),
                    f"typed('{command.id}')" if at_once else command.action,
                    command.footer or command.label,
                    show=bool(command.footer) and command.keys[0] in keys,
                    id=command.id,
                    key_display=display(keys[0]),
                    priority=at_once,
                    group=Binding.Group(command.footer, compact=True) if command.footer in ("head", "layer") else None,
                )
            )
    return out


class Explorer(Screen[None]):
    """The one screen."""

    BINDINGS = [binding for command in COMMANDS for binding in bindings(command)]

    def __init__(self, engine: Asks, selection: Selection, history: Sequence[str], draw_pause: float) -> None:
        super().__init__()
        self.engine = engine
        self.selection = selection
        self.history = list(history)
        self.draw_pause = draw_pause
        """Seconds between two redraws while heads fly by: a slow link must not queue pictures nobody will see."""
        self.typing_pause, self.panel_pause = TYPING_PAUSE, PANEL_PAUSE
        self._trail = Trail()
        self._failures: dict[Job, Failed] = {}
        self._extra: dict[str, Job] = {}
        """Question → the job that checks its answer."""
        self._typing: Timer | None = None
        self._drawing: Timer | None = None
        self._due = 0.0
        """When ``_drawing`` draws."""
        self._panel_timer: Timer | None = None
        self._drawn_at = 0.0
        self._partial: dict[Job, Result] = {}
        self._panel_made: tuple[Result | None, Result | None] = (None, None)
        self._started = False
        self._activity = "starting"
        self._editing = False
        """Whether the user went to the prompt."""
        self._notice_about = ""
        self._panel_asked = False
        """Whether the panel was opened on a small screen."""
        self.main = MainView()
        self.panel = SidePanel()

    # --- layout -----------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        # Classes first: on a screen that has its widgets each costs the first paint 30 ms.
        self._fit_to(self.app.size.width, self.app.size.height)
        self.set_class(self._panel_open(), "panel-open")
        self.panel.set_class(not self._panel_open(), "closed")
        yield Status()
        yield PromptLine(self.selection.text, self.history)
        yield TokenStrip()
        with Horizontal(id="middle"):
            yield ModelTree()
            yield self.main
            yield self.panel
        yield Static(id="notice")
        yield Static(id="inspector")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(ModelTree).border_title = "Heads"
        self.heatmap.focus()
        self._draw()
        # The first paint comes before the worker starts importing torch.
        self.call_after_refresh(self.set_timer, 0.01, self._start)

    def _start(self) -> None:
        self._started = True
        self._want()

    def on_resize(self, event: events.Resize) -> None:
        self._fit_to(event.size.width, event.size.height)
        if isinstance(self.focused, PromptInput) and not self._editing:
            self.set_focus(None)
        if self.focused is None:
            self.call_after_refresh(self._focus_view)
        self._schedule()

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

    # --- selection → engine → views ---------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a text field has the focus."""
        return not (action == "typed" and isinstance(self.focused, Input))

    async def action_typed(self, command_id: str) -> None:
        await self.run_action(by_id(command_id).action)

    def change(self, selection: Selection, jump: bool = False) -> None:
        """Show another selection. ``jump``: ``,`` comes back to this one."""
        selection = state.settle(selection)
        if selection == self.selection:
            return
        if jump:
            self._trail.leave(self.selection)
        self.selection = selection
        job = state.shown(selection)
        if job is not None and job in self._failures:
            del self._failures[job]
            self.engine.retry(job)  # it failed in idle time; now somebody asks for it
        self._want()
        self._schedule(0.0 if self._is_there(job) else AWAITED)

    def _is_there(self, job: Job | None) -> bool:
        """Whether the view can be drawn as it is wanted now."""
        s = self.selection
        pending = s.model is not None and s.tokens_of != Tokenize(s.model.key, s.text, s.with_bos)
        return not pending and self._cached(job) is not None

    def _want(self) -> None:
        if not self._started:
            return
        needed = state.needs(self.selection, with_panel=self._panel_open())
        there = self.engine.want([*self._extra.values(), *needed])
        current = set(needed)
        self._failures = {job: failed for job, failed in self._failures.items() if job in current}
        for job, value in there.items():
            if isinstance(job, Open | Tokenize | Words):  # cached, so no Done will come for it
                self._done(Done(job, value, 0.0))
                return

    def _schedule(self, rest: float = 0.0) -> None:
        """Draw now, or shortly if a picture was drawn just before: held keys give few pictures, the last one always.

        ``rest``: draw no sooner than in so many seconds, unless another call asks for it.
        """
        now = time.monotonic()
        due = max(now + rest, self._drawn_at + self.draw_pause)
        if self._drawing is not None:
            if self._due <= due:
                return
            self._drawing.stop()
            self._drawing = None
        if due <= now:
            self._draw()
        else:
            self._due = due
            self._drawing = self.set_timer(due - now, self._draw)

    def _draw(self) -> None:
        """Every view from what is cached; views ignore what they show already."""
        if self._drawing is not None:
            self._drawing.stop()
            self._drawing = None
        self._drawn_at = time.monotonic()
        s = self.selection
        self.query_one(ModelTree).point(s.layer, s.head)
        self._draw_lines()
        self._draw_view()
        self._draw_panel()

    def _draw_lines(self) -> None:
        """What is one line high: status, tokens, inspector."""
        s = self.selection
        status = self.query_one(Status)
        status.conventions = captions.conventions(s)
        status.activity = self._activity
        strip = self.query_one(TokenStrip)
        if strip.tokens is not s.tokens:
            strip.tokens = s.tokens
        if s.on_list:
            strip.row = strip.col = s.position
        else:
            strip.row, strip.col = s.position, s.position if s.view == "residual" else s.cell[1]
        predictions = self._cached(state.next_tokens(s))
        if isinstance(predictions, Table) and strip.predictions is not predictions:
            strip.predictions = predictions
        line, words = self.query_one("#inspector", Static), Content.assemble(*captions.inspector(s, self._cached))
        if line.content != words:
            line.update(words, layout=False)

    def _draw_view(self) -> None:
        s, main = self.selection, self.main
        job = state.shown(s)
        result = self._cached(job)
        header = captions.header_of(result)
        main.tabs(captions.tabs(s))
        if isinstance(result, Grid | Gallery):
            main.show(result, state.cell_in_view(s))
        else:
            main.wait(self._why_empty(job), clear=job is None or job in self._failures)
            if main.heatmap.grid is None and s.model is not None:
                main.say("explanation", "")
                main.say("checks", "")
        if header is not None or main.heatmap.grid is None:
            main.say("title", captions.title(s, header))
        if header is not None:
            main.say("explanation", header.explanation)
            main.say("checks", captions.checks(header))

    def _why_empty(self, job: Job | None) -> str:
        """What stands where a picture would: the reason it is not there."""
        s = self.selection
        if job is not None and job in self._failures:
            failed = self._failures[job]
            return f"{failed.error}\n{failed.hint}"
        if s.open in self._failures:
            failed = self._failures[s.open]
            return f"{failed.error}\n{failed.hint}\npress M to open another model, q to leave"
        if s.model is None:
            return "the model is loading; type a prompt with i meanwhile"
        if s.view == "qk" and s.head is None:
            return "no head is selected, and the direct path has no QK:\n} selects a head, 3 shows W_E W_U"
        if s.tokens_of in self._failures or s.tokens is None:
            return "no tokens yet: press i and type a prompt"
        return ""

    def _draw_panel(self) -> None:
        if self._panel_timer is not None:
            self._panel_timer.stop()
            self._panel_timer = None
        s, open_ = self.selection, self._panel_open()
        self.panel.set_class(not open_, "closed")
        self.set_class(open_, "panel-open")
        if open_:
            result = self._panel_result(self._cached(state.panel_job(s)))
            header = captions.header_of(result)
            below = captions.checks(header, facts=False) if header else ""
            self.panel.show(result, captions.panel_title(s, result), below)
        elif self.focused is not None and self.panel in self.focused.ancestors:
            self._focus_view()

    def _panel_result(self, result: Result | None) -> Result | None:
        """The result in the panel's form, the same object as long as the result is the same: an equal one would be
        drawn again."""
        if self._panel_made[0] is not result:
            self._panel_made = (result, captions.for_panel(result))
        return self._panel_made[1]

    def _panel_open(self) -> bool:
        """On a small screen the panel replaces the picture, so it waits there for the user to ask (``p``)."""
        return bool(state.panel_name(self.selection)) and (not self.small or self._panel_asked)

    def _cached(self, job: Job | None) -> Result | None:
        """The job's result, or what there is of it so far."""
        if job is None:
            return None
        result: Result | None = self.engine.cached(job)
        return self._partial.get(job) if result is None else result

    def say(self, sentence: str, good: bool = False, about: str = "") -> None:
        """A sentence above the inspector, until the next one or esc; "" takes it away.

        ``about``: what it is about, so that ``unsay`` can take it away when that is put right.
        """
        self._notice_about = about
        notice = self.query_one("#notice", Static)
        notice.update(Content(sentence))
        notice.set_class(bool(sentence), "shown")
        notice.set_class(good, "good")

    def unsay(self, about: str) -> None:
        """Take the sentence away if it is about this."""
        if self._notice_about == about:
            self.say("")

    # --- what the worker says ---------------------------------------------------------------------------------------

    @on(EngineEvent)
    def _engine_said(self, message: EngineEvent) -> None:
        event = message.event
        if isinstance(event, Progress):
            share = f" {event.done}/{event.total}" if event.total else ""
            self._activity = event.stage + share
            self.query_one(Status).activity = self._activity
        elif isinstance(event, Failed):
            self._failed(event)
        elif isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Partial):
            self._partial = {event.job: event.result}
            self._schedule()
        elif isinstance(event, Idle):
            self.query_one(Status).activity = self._activity

    def _done(self, event: Done) -> None:
        job, result, s = event.job, event.result, self.selection
        self._failures.pop(job, None)
        if isinstance(result, ModelInfo) and job == s.open:
            self._opened(job, result)
        elif isinstance(job, Tokenize) and isinstance(result, Tokens):
            if s.model is not None and job == Tokenize(s.model.key, s.text, s.with_bos):
                self.unsay("Tokenize")
                self.change(replace(s, tokens=result, tokens_of=job, row=-1, col=-1, likeliest=None))
        elif isinstance(job, Words) and isinstance(result, Tokens):
            self._words_found(job, result)
        elif isinstance(job, NextTokens) and isinstance(result, Table):
            self._took(job, event.seconds)
            self._likeliest(job, result)
            self._schedule()
        else:
            self._took(job, event.seconds)
            self._schedule()

    def _took(self, job: Job, seconds: float) -> None:
        """Name what took time; the rest would change the status line, 300 bytes, with every cursor move."""
        if seconds >= NOTABLE or job == state.shown(self.selection):
            self._activity = f"{job_name(job)} {seconds * 1e3:.0f} ms"

    def _opened(self, job: Open, info: ModelInfo) -> None:
        self._activity = "ready"
        self.query_one(ModelTree).build(info.n_layers, info.n_heads, info.has_mlp)
        self.unsay("Open")
        if info.notes:
            self.say(" ".join(info.notes))
        self.change(state.with_model(self.selection, job, info))

    def _likeliest(self, job: NextTokens, table: Table) -> None:
        """The answer that Residual measures while the user has set none: the top token after the last position."""
        s = self.selection
        if s.tokens is not None and job == state.next_tokens(replace(s, row=-1)) and table.rows:
            best = table.rows[0][table.columns.index("id")]
            if isinstance(best, int) and best != s.likeliest:
                self.change(replace(s, likeliest=best))

    def _words_found(self, job: Words, tokens: Tokens) -> None:
        for question in [question for question, asked in self._extra.items() if asked == job]:
            self._take(question, questions.found(question, job, tokens, self.selection))
        if self.selection.words == job.text and self.selection.listed_of != job:
            self.change(replace(self.selection, listed=tokens, listed_of=job))

    def _failed(self, event: Failed) -> None:
        s = self.selection
        sentence = f"{event.error} {event.hint}".strip()
        for question, job in self._extra.items():
            if job == event.job:
                self._problem(question, sentence)
                return
        self._failures[event.job] = event
        if event.job in state.prefetched(s):
            return  # nobody asked for it yet; it is said when somebody does
        self._activity = "failed" if s.opened is None else "ready"
        if isinstance(event.job, Open) and s.opened is not None and event.job == s.open:
            self.selection = replace(s, open=s.opened)  # the model that was there stays
        if isinstance(event.job, Words) and event.job.text == s.words:
            self.selection = replace(s, words="", listed=None, listed_of=None)
        self.say(sentence, about=type(event.job).__name__)
        self._want()
        self._schedule()

    # --- questions --------------------------------------------------------------------------------------------------

    def _ask(self, question: Question) -> None:
        text = questions.before(question, self.selection)
        self.app.push_screen(Ask(question.id, question.title, text, question.hint))

    @on(Ask.Answered)
    def _answered(self, message: Ask.Answered) -> None:
        self._take(message.question, questions.answered(message.question, message.text.strip(), self.selection))

    def _take(self, question: str, answer: Selection | Words | Problem) -> None:
        """A good answer closes its question and is shown; one that needs the worker waits for it."""
        if isinstance(answer, Problem):
            self._problem(question, answer.sentence)
        elif isinstance(answer, Words):
            self._extra[question] = answer
            self._want()
        else:
            self._settled(question)
            if answer.open != self.selection.open:
                self._failures.pop(answer.open, None)
                self._activity = f"opening {answer.open.source}"
            self.change(answer)

    def _problem(self, question: str, sentence: str) -> None:
        """The answer to a question was no good: say so where it was typed, or as a notice if that is gone."""
        self._extra.pop(question, None)
        top = self.app.screen
        if isinstance(top, Ask) and top.question == question:
            top.problem(sentence)
        else:
            self.say(sentence, about=question)

    def _settled(self, question: str) -> None:
        self._extra.pop(question, None)
        top = self.app.screen
        if isinstance(top, Ask) and top.question == question:
            top.dismiss()
        self.unsay(question)

    # --- prompt -----------------------------------------------------------------------------------------------------

    @on(Input.Changed, "#prompt-input")
    def _typed(self, event: Input.Changed) -> None:
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(self.typing_pause, self._commit)

    def _commit(self) -> None:
        self._typing = None
        text = self.query_one(PromptInput).prompt
        if text != self.selection.text:
            self.change(replace(self.selection, text=text))

    @on(Input.Submitted, "#prompt-input")
    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        self._commit()
        field = self.query_one(PromptInput)
        field.remember(self.selection.text)
        self.history = field.history
        self._focus_view()

    def action_edit_prompt(self) -> None:
        self._editing = True
        self.set_focus(self.query_one(PromptInput))  # at once: the next key is text already

    def action_append_token(self) -> None:
        """Append the likeliest next token after the last position."""
        s = self.selection
        table = self._cached(state.next_tokens(replace(s, row=-1)))
        if not isinstance(table, Table) or not table.rows:
            self.say("no prediction yet: wait for the prompt to be computed")
            return
        token = str(table.rows[0][table.columns.index("token")])
        if is_byte(token):
            self.say(f"the likeliest next token, {token}, is part of a character: it is no text that could be appended")
            return
        field = self.query_one(PromptInput)
        field.prompt = s.text + token
        self._commit()

    def action_toggle_bos(self) -> None:
        s = self.selection
        if s.model is not None and s.model.bos_id is None:
            self.say("this model's tokenizer has no BOS token")
        else:
            self.change(replace(s, bos=not s.with_bos))

    def action_edit_words(self) -> None:
        self._ask(questions.WORDS)

    def action_edit_answer(self) -> None:
        self._ask(questions.ANSWER)

    def action_edit_offset(self) -> None:
        s = self.selection
        if s.model is not None and s.model.capabilities.offset:
            self.say(s.model.capabilities.offset)
        else:
            self._ask(questions.OFFSET)

    # --- going places -----------------------------------------------------------------------------------------------

    def _leave_panel(self) -> None:
        """On a small screen: the picture again, where the panel has taken its place."""
        if self.small and self._panel_asked:
            self._panel_asked = False
            self._draw_panel()
            self._focus_view()

    def action_view(self, view: str) -> None:
        self._leave_panel()
        panel = 0 if self.selection.panel < len(state.panels(self.selection)) else 99
        self.change(replace(self.selection, view=view, panel=panel), jump=True)  # type: ignore[arg-type]

    def action_step_head(self, step: int) -> None:
        s = self.selection
        if s.model is not None:
            head = 0 if s.head is None else (s.head + step) % s.model.n_heads
            self.change(replace(s, head=head), jump=True)

    def action_step_layer(self, step: int) -> None:
        s = self.selection
        if s.model is not None:
            self.change(replace(s, layer=(s.layer + step) % s.model.n_layers, head=s.head or 0), jump=True)

    def action_direct_path(self) -> None:
        self.change(replace(self.selection, head=None, view="ov"), jump=True)

    def jump(self, layer: int, head: int) -> None:
        """Show a head by number; one that does not exist is said."""
        model = self.selection.model
        if model is None:
            self.say("the model is still loading")
        elif not (0 <= layer < model.n_layers and 0 <= head < model.n_heads):
            self.say(f"there is no L{layer}H{head}: layers 0 to {model.n_layers - 1}, heads 0 to {model.n_heads - 1}")
        else:
            self.say("")
            self.change(replace(self.selection, layer=layer, head=head), jump=True)

    @on(ModelTree.Chosen)
    def _chosen(self, message: ModelTree.Chosen) -> None:
        place, s = message.place, self.selection
        if place == Place():
            self.action_direct_path()
        elif place.mlp and s.model is not None:
            row = state.mlp_row(s.model, place.layer or 0)
            self.change(replace(s, view="residual", layer=place.layer or 0, component=row), jump=True)
        elif place.head is None:
            self.change(replace(s, layer=place.layer or 0, head=s.head or 0), jump=True)
        else:
            self.change(replace(s, layer=place.layer or 0, head=place.head), jump=True)

    def action_back(self) -> None:
        self._travel(self._trail.back(self.selection), "nowhere to go back to")

    def action_forward(self) -> None:
        self._travel(self._trail.forward(self.selection), "nowhere to go forward to")

    def _travel(self, there: Selection | None, empty: str) -> None:
        if there is None:
            self.say(empty)
        else:
            self.change(there)

    # --- cursor -----------------------------------------------------------------------------------------------------

    def action_cursor(self, rows: int, cols: int) -> None:
        if isinstance(self.focused, Bars):
            self.focused.action_cursor(rows)
        elif isinstance(self.focused, ModelTree):
            (self.focused.action_cursor_down if rows > 0 else self.focused.action_cursor_up)()
        else:
            self.main.picture.action_cursor(rows, cols)
            self._follow()

    def action_edge(self, side: int) -> None:
        if isinstance(self.focused, Bars):
            self.focused.action_edge(side)
        else:
            self.main.picture.action_edge(side)
            self._follow()

    def action_page(self, direction: int) -> None:
        (self.focused if isinstance(self.focused, Bars) else self.main.picture).action_page(direction)
        self._follow()

    def action_open(self) -> None:
        (self.focused if isinstance(self.focused, Bars) else self.main.picture).action_open()

    @on(Heatmap.CursorMoved)
    def _cursor_moved(self, message: Heatmap.CursorMoved) -> None:
        if (message.row, message.col) == self.heatmap.cursor:  # else: a place it has left since
            self._follow()

    def _follow(self) -> None:
        """The selection is where the cursor is: at once after a key, since a redraw sets the cursor from it."""
        if self.heatmap.grid is None or not self.heatmap.display:
            return
        moved = state.with_cell(self.selection, *self.heatmap.cursor)
        if state.cell_in_view(moved) == state.cell_in_view(self.selection):
            return
        self.selection = moved
        self._want()
        self._draw_lines()
        if self._panel_open():
            if self._panel_timer is not None:
                self._panel_timer.stop()
            self._panel_timer = self.set_timer(self.panel_pause, self._draw_panel)

    @on(Heatmap.Opened)
    def _opened_cell(self, message: Heatmap.Opened) -> None:
        """enter in Residual goes to the layer whose write is under the cursor; elsewhere to its OV and back."""
        s = self.selection
        grid = self.heatmap.grid
        if s.view == "residual" and grid is not None:
            self._go_to_part(grid.rows.labels[message.row])
        else:
            self.action_view("ov" if s.view != "ov" else "pattern")

    @on(Thumbnails.Opened)
    def _opened_thumbnail(self, message: Thumbnails.Opened) -> None:
        self.change(replace(self.selection, head=message.index, mode="pattern"), jump=True)

    @on(Bars.Opened)
    def _opened_bar(self, message: Bars.Opened) -> None:
        table = self.panel.bars.table
        if table is not None and "part" in table.columns and state.panel_name(self.selection) != "head writes":
            self._go_to_part(str(table.rows[message.row][table.columns.index("part")]))

    def _go_to_part(self, label: str) -> None:
        """A component's name (``L3H1``, ``L3.attn``) → that head in the pattern view."""
        self.change(state.at_part(self.selection, label), jump=True)

    def _focus_view(self) -> None:
        self._editing = False
        (self.panel.picture if self.small and self._panel_open() else self.main.picture).focus()

    def key_escape(self) -> None:
        self.say("")
        self._leave_panel()
        self._focus_view()

    # --- how it looks -----------------------------------------------------------------------------------------------

    def action_cycle(self, name: str) -> None:
        selection, passed = state.cycle(self.selection, name)
        if name == "baseline" and selection.normalize == "none":
            passed = passed or f"rows will be normalised over {_OVER[selection.baseline]}: press n to normalise them"
        if passed:
            self.say(passed, about="option")
        else:
            self.unsay("option")
        self.change(selection)

    def action_cycle_mode(self) -> None:
        s = self.selection
        name = {"pattern": "mode", "qk": "term", "residual": "measure"}.get(s.view)
        self._leave_panel()
        if s.head is None and s.view == "pattern":
            self.say("no head is selected, so all heads of the layer are shown: } selects one", about="option")
        elif name is None:
            self.say("OV has one mode; n normalises it, 0 shows the direct path W_E W_U", about="option")
        else:
            self.action_cycle(name)

    def action_fit(self) -> None:
        self.heatmap.action_fit()

    def action_cycle_panel(self) -> None:
        s, names = self.selection, state.panels(self.selection)
        if self.small and not self._panel_open():
            self._panel_asked = True
            self.change(replace(s, panel=0))
        else:
            panel = s.panel + 1 if s.panel < len(names) else 0
            self._panel_asked = panel < len(names)
            self.change(replace(s, panel=panel))
        self._want()
        self._draw_panel()
        if self.small:
            self._focus_view()

    def action_toggle_tree(self) -> None:
        self.query_one(ModelTree).toggle_class("folded")

    # --- the rest ---------------------------------------------------------------------------------------------------

    def palette_entries(self) -> list[Entry]:
        """The commands, as the help and the palette show them."""
        return [
            Entry(c.id, " ".join(display(key) for key in c.keys), c.label, c.help, c.group)
            for c in COMMANDS
            if c.id != "palette"
        ]

    def run_entry(self, command_id: str) -> None:
        """Run a command by its id."""
        self.call_later(self.run_action, by_id(command_id).action)

    def _run_chosen(self, command_id: str | None) -> None:
        if command_id is not None:
            self.run_entry(command_id)

    def action_help(self) -> None:
        header = captions.header_of(self._cached(state.shown(self.selection)))
        about = captions.about(self.selection, header)
        self.app.push_screen(Help(self.palette_entries(), about), self._run_chosen)

    def action_palette(self) -> None:
        self.app.action_command_palette()

    def action_choose_theme(self) -> None:
        self.app.action_change_theme()

    def action_choose_model(self) -> None:
        self._ask(questions.MODEL)

    def action_export(self) -> None:
        result = self._cached(state.shown(self.selection))
        if result is None:
            self.say("nothing is computed yet that could be exported")
        else:
            self.post_message(ExportWanted(result, self.selection))

    def action_quit(self) -> None:
        self.app.exit()


def job_name(job: Job) -> str:
    """``QK``, ``Pattern``: a job as the status line names it."""
    return {"NextTokens": "next tokens", "OVRow": "OV row", "ResidualParts": "parts", "LayerPatterns": "patterns"}.get(
        type(job).__name__, type(job).__name__
    )
