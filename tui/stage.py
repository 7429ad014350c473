"""The stage: shows a Selection. It asks the engine for what the selection needs and hands results to the views.

A changed selection decides the wish list; what is cached is drawn at once and the rest when it arrives. The previous
picture stays, marked as stale, until the new one is there. What keys do to the selection is ``screen``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Static

from . import arrange, captions, finding, needs, notes, searches, state
from .engine.events import Done, Event, Failed, Idle, Partial, Progress
from .engine.jobs import FindPairs, FindTarget, Job, NextTokens, Open, PreparePrompts, Prompts, Tokenize, Words
from .finding import head_at
from .notes import Note
from .results import Curve, Found, Gallery, Grid, ModelInfo, Pairs, Result, Split, Table, Tokens
from .state import Selection
from .trail import Trail
from .views.head_card import HeadCard
from .views.heatmap import Heatmap
from .views.main_view import MainView
from .views.model_tree import ModelTree
from .views.prompt import PromptInput, PromptLine, TokenStrip
from .views.side_panel import SidePanel
from .views.status import Status

AWAITED = 0.06
"""Seconds that a change waits for what it shows: most results come sooner, and one frame is painted instead of two."""
NOTABLE = 0.05
"""Seconds from which a job beside the shown one is named in the status line."""
PANEL_PAUSE = 0.25
"""Seconds that the cursor must rest before the side panel follows: it is a screenful of bytes, a cursor move is not."""
ONCE = (Open, Tokenize, Words, PreparePrompts, FindTarget, FindPairs)
"""Jobs whose answers change the selection: what is cached of them is taken like what has just been done."""


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


class Arranged:
    """The last result in another shape, the same object as long as the result and the shape's name are the same: an
    equal one would be drawn again."""

    def __init__(self) -> None:
        self._made: tuple[Result | None, str, Result | None] = (None, "", None)

    def get(
        self, result: Result | None, name: str, make: Callable[[Result | None, str], Result | None]
    ) -> Result | None:
        if self._made[0] is not result or self._made[1] != name:
            self._made = (result, name, make(result, name))
        return self._made[2]


class Asks(Protocol):
    """What the explorer asks of the engine."""

    def want(self, jobs: Sequence[Job]) -> dict[Job, Any]: ...
    def cached(self, job: Job) -> Any: ...
    def retry(self, job: Job) -> None: ...


class Stage(Screen[None]):
    """Layout, wish list and drawing."""

    def __init__(self, engine: Asks, selection: Selection, history: Sequence[str], draw_pause: float) -> None:
        super().__init__()
        self.engine = engine
        self.selection = selection
        self.history = list(history)
        self.draw_pause = draw_pause
        """Seconds between two redraws while heads fly by: a slow link must not queue pictures nobody will see."""
        self.panel_pause = PANEL_PAUSE
        self._trail = Trail()
        self._failures: dict[Job, Failed] = {}
        self._extra: dict[str, Job] = {}
        """Question → the job that checks its answer."""
        self._drawing: Timer | None = None
        self._due = 0.0
        """When ``_drawing`` draws."""
        self._panel_timer: Timer | None = None
        self._strip_timer: Timer | None = None
        self._drawn_at = 0.0
        self._partial: dict[Job, Result] = {}
        self._stopped: Job | None = None
        """A search that the user has stopped: what was found so far stays."""
        self._view_made, self._panel_made = Arranged(), Arranged()
        self._started = False
        self._activity = "starting"
        self._counting = False
        """Whether ``_activity`` says how far a job is."""
        self._editing = False
        """Whether the user went to the prompt."""
        self._notice_about = ""
        self.notes: dict[str, Note] = {}
        """The user's notes on this model's heads."""
        self._tree_says: tuple[object, ...] = ()
        """What the labels and the order of the tree were made of."""
        self._card: HeadCard | None = None
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

    def change(self, selection: Selection, jump: bool = False) -> None:
        """Show another selection. ``jump``: ``,`` comes back to this one."""
        selection = state.settle(selection)
        if selection == self.selection:
            return
        if jump:
            self._trail.leave(self.selection)
        if selection.view != self.selection.view:
            self.say("")  # it was about another view
        self.selection, self._stopped = selection, None
        job = needs.shown(selection)
        if job is not None and job in self._failures:
            del self._failures[job]
            self.engine.retry(job)  # it failed in idle time; now somebody asks for it
        self._want()
        self._schedule(0.0 if self._is_there(job) else AWAITED)

    def _stop(self) -> None:
        """Stop the search that is running, if it is the view's."""
        job = needs.shown(self.selection)
        if job is not None and job in self._partial and self.engine.cached(job) is None:
            self._stopped = job
            self._want()
            self._activity = "stopped"
            self.say("stopped: what was found so far stays; any other key goes on")

    def _is_there(self, job: Job | None) -> bool:
        """Whether the view can be drawn as it is wanted now."""
        s = self.selection
        pending = s.model is not None and s.tokens_of != Tokenize(s.model.key, s.text, s.with_bos)
        return not pending and self._cached(job) is not None

    def _want(self) -> None:
        if not self._started:
            return
        needed = needs.needs(self.selection, self._panel_open(), self._part(), self._drawn())
        needed = [job for job in needed if job != self._stopped]
        there = self.engine.want([*self._extra.values(), *needed])
        current = set(needed)
        self._failures = {job: failed for job, failed in self._failures.items() if job in current}
        for job, value in there.items():
            if isinstance(job, ONCE):  # cached, so no Done will come for it
                self._done(Done(job, value, 0.0))
                return
            if isinstance(job, NextTokens) and self.selection.likeliest is None:
                self._likeliest(job, value)

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
        self._label_tree()
        self._draw_lines()
        self._draw_view()
        self._draw_panel()
        self._draw_card()

    def _label_tree(self) -> None:
        """What the scores and the user say of the heads, and their order in the tree; it ignores what it shows."""
        s = self.selection
        scores, copying = (self._cached(searches.scores(s, name)) for name in ("induction", "copying"))
        known = [result for result in (self._cached(searches.labels(s)), copying) if isinstance(result, Grid)]
        sorting = self._cached(searches.scores(s, s.finding.score)) if s.finding.by_score else scores
        said = (*known, sorting, s.finding.by_score, s.finding.score, s.finding.tree_filter, self.notes)
        before = self._tree_says
        if len(said) == len(before) and all(a is b or a == b for a, b in zip(said, before, strict=True)):
            return
        self._tree_says = said
        labels, tree = finding.label_texts(*known), self.query_one(ModelTree)
        shown = labels
        if s.finding.by_score and isinstance(sorting, Grid):
            shown = labels | finding.score_texts(s.finding, sorting)
        tree.label(shown, [at for name, note in self.notes.items() if note.bookmarked and (at := head_at(name))])
        base = sorting if isinstance(sorting, Grid) else known[0] if known else None
        tree.list_heads(finding.tree_order(s.finding, base, labels))

    def _draw_card(self) -> None:
        """The card of the head, as far as it is known."""
        s, card = self.selection, self._card
        if card is None or s.head is None:
            return
        results = {section: self._cached(job) for section, job in searches.card(s).items()}
        grid, note = results.get("pattern"), self.notes.get(s.name)
        card.show(
            s.name, arrange.card(results, s.name), grid if isinstance(grid, Grid) else None,
            note.text if note else "", bool(note and note.bookmarked),
        )  # fmt: skip

    def _draw_lines(self, patient: bool = False) -> None:
        """What is one line high: status, tokens, inspector."""
        s = self.selection
        status = self.query_one(Status)
        status.conventions = captions.conventions(s)
        status.activity = self._activity
        self._draw_strip(patient)
        self.query_one(PromptLine).answer = captions.aim_in_line(s)
        line, words = self.query_one("#inspector", Static), Content.assemble(*captions.inspector(s, self._cached))
        if line.content != words:
            line.update(words, layout=False)

    def _draw_strip(self, patient: bool = False) -> None:
        """The tokens and what comes after the cursor's. ``patient``: a cursor move waits a moment for the predictions
        at its new row, so that the line, 0.8 kB, is sent once."""
        if self._strip_timer is not None:
            self._strip_timer.stop()
            self._strip_timer = None
        s, strip = self.selection, self.query_one(TokenStrip)
        predictions = self._cached(needs.next_tokens(s))
        if patient and predictions is None and strip.tokens is s.tokens:
            self._strip_timer = self.set_timer(AWAITED, self._draw_strip)
            return
        if strip.tokens is not s.tokens:
            strip.tokens = s.tokens
        two = s.view in ("pattern", "qk", "ov", "why", "neurons") and not s.on_list
        strip.row, strip.col = s.position, s.cell[1] if two else s.position
        strip.shade = captions.shade(s, self._drawn())
        if isinstance(predictions, Table) and strip.predictions is not predictions:
            strip.predictions = predictions

    def _draw_view(self) -> None:
        s, main = self.selection, self.main
        job = needs.shown(s)
        result = self._view_made.get(self._cached(job), needs.shape(s), arrange.for_view)
        header = captions.header_of(result)
        main.tabs(captions.tabs(s))
        if isinstance(result, Grid | Gallery | Table | Curve):
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
        if s.view in ("compose", "pairs", "svd") and s.head is None:
            return "no head is selected: } selects one"
        if s.virtual:
            return "put the cursor on a head of another layer first: X goes back to the picture of heads"
        if s.view in ("qk", "why") and s.head is None:
            return "no head is selected, and the direct path has no QK:\n} selects a head, 3 shows W_E W_U"
        if s.over and s.head is None:
            return "no head is selected: } selects one"
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
            job, name = needs.panel_job(s, self._part(), self._drawn()), needs.panel_name(s)
            shape = needs.shape(s) if name == "heads, ranked" else name
            result = self._panel_made.get(self._cached(job), shape, arrange.for_panel)
            header = captions.header_of(result)
            below = captions.checks(header, facts=False) if header else ""
            self.panel.show(result, captions.panel_title(s, self._part()), below)
        elif self.focused is not None and self.panel in self.focused.ancestors:
            self._focus_view()

    def _panel_open(self) -> bool:
        """On a small screen the panel replaces the picture, so it waits there for the user to ask (``p``)."""
        return bool(needs.panel_name(self.selection)) and (not self.small or self._panel_asked)

    def _part(self) -> str:
        """What the cursor's row names: a part of the stream, a neuron."""
        return captions.part_under(self.selection, self._drawn())

    def _drawn(self) -> Result | None:
        """The result that the view shows, or what there is of it."""
        return self._cached(needs.shown(self.selection))

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
            self._activity, self._counting = event.stage + share, True
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
                row, col = s.arriving or (-1, -1)
                self.change(replace(s, tokens=result, tokens_of=job, row=row, col=col, arriving=None, likeliest=None,
                                    likeliest_text=""))  # fmt: skip
        elif isinstance(job, Words | FindTarget | FindPairs) and isinstance(result, Tokens | Found | Split | Pairs):
            self.looked_up(job, result)
        elif isinstance(job, PreparePrompts) and isinstance(result, Prompts):
            if job == needs.preparing(s):
                self.change(state.prepared(s, job, result))
        else:
            self._took(job, event.seconds)
            if isinstance(job, NextTokens) and isinstance(result, Table):
                self._likeliest(job, result)
            if job == needs.shown(self.selection):
                self.selection = captions.on_named_neuron(self.selection, result)
                self._want()  # the part under the cursor has a name now, and the panel may speak of it
            self._schedule()

    def _took(self, job: Job, seconds: float) -> None:
        """Name what took time; the rest would change the status line, 300 bytes, with every cursor move."""
        if seconds >= NOTABLE or self._counting or job == needs.shown(self.selection):
            self._counting = False
            self._activity = f"{job_name(job)} {seconds * 1e3:.0f} ms"

    def _opened(self, job: Open, info: ModelInfo) -> None:
        self._activity = "ready"
        self.query_one(ModelTree).build(info.n_layers, info.n_heads, info.has_mlp)
        self._tree_says = ()
        self.notes, problem = notes.read(info.key, info.name)
        self.unsay("Open")
        if problem or info.notes:
            self.say(" ".join(filter(None, (problem, *info.notes))))
        self.change(state.with_model(self.selection, job, info))

    def _likeliest(self, job: NextTokens, table: Table) -> None:
        """The answer that Residual measures while the user has set none: the top token after the last position."""
        s = self.selection
        if s.tokens is not None and job == needs.next_tokens(replace(s, row=-1)) and table.rows:
            best, text = (table.rows[0][table.columns.index(name)] for name in ("id", "token"))
            if isinstance(best, int) and best != s.likeliest:
                self.change(replace(s, likeliest=best, likeliest_text=str(text)))

    def _failed(self, event: Failed) -> None:
        s = self.selection
        sentence = f"{event.error} {event.hint}".strip()
        if self.not_found(event.job, sentence):
            return
        self._failures[event.job] = event
        if event.job in needs.prefetched(s):
            return  # nobody asked for it yet; it is said when somebody does
        self._activity = "failed" if s.opened is None else "ready"
        if isinstance(event.job, Open) and s.opened is not None and event.job == s.open:
            self.selection = replace(s, open=s.opened)  # the model that was there stays
        if isinstance(event.job, Words) and event.job.text == s.words:
            self.selection = replace(s, words="", listed=None, listed_of=None)
        if isinstance(event.job, PreparePrompts) and event.job == needs.preparing(s):
            self.selection = replace(s, file=s.file.before if s.file else None)  # the one that was open stays
        if event.job != needs.shown(s):  # else it stands where the picture would
            self.say(sentence, about=type(event.job).__name__)
        self._want()
        self._schedule()

    # --- what the explorer adds -------------------------------------------------------------------------------------

    def looked_up(self, job: Words | FindTarget | FindPairs, result: Tokens | Found | Split | Pairs) -> None:
        """The worker has looked up the tokens of an answer, or of the token list."""
        raise NotImplementedError

    def not_found(self, job: Job, sentence: str) -> bool:
        """Whether a job that failed was about an answer, which is then told where it was typed."""
        raise NotImplementedError

    def _focus_view(self) -> None:
        """The picture has the keys."""
        self._editing = False
        (self.panel.picture if self.small and self._panel_open() else self.main.picture).focus()


def job_name(job: Job) -> str:
    """``QK``, ``Pattern``: a job as the status line names it."""
    names = {
        "NextTokens": "next tokens", "OVRow": "OV row", "ResidualParts": "parts", "LayerPatterns": "patterns",
        "LensTop": "lens", "LensCurve": "lens", "LensOver": "lens", "AttributionOver": "attribution",
        "PatternOver": "patterns", "ScoreParts": "score parts", "SourceRow": "sources", "WriteCosines": "cosines",
        "NeuronTokens": "neuron", "Directions": "directions", "HeadScores": "head scores", "PairSearch": "search",
        "CopyingScores": "copying", "TopPairs": "top pairs", "SingularTokens": "SVD", "Spectrum": "SVD",
    }  # fmt: skip
    return names.get(type(job).__name__, type(job).__name__)
