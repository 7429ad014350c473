"""The application: theme, keys, the engine's life, what touches files, and what an error in a handler does.

An error while the first screen is made ends the app. A later one is logged and said, and the app goes on: what broke is
one message (a key, a result, a timer), and the same widget takes the next. The third in ten seconds is no accident:
what can be kept is written, and the app ends with exit code 1, which ``cli`` puts into words.

Textual has one place that every error comes to, ``App._handle_exception``, and nothing public before it. The loop that
called a handler ends after it, though, and with it the widget, or with the app's own loop everything; hence
``_survive_handlers``, which is asked first.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import App, ScreenStackError
from textual.errors import NoWidget
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.theme import Theme, ThemeProvider
from textual.worker import WorkerFailed

from . import commands, keeping, keys, pages, process, remapping
from .browsing import Here, Lists, There
from .config import Options, first_of, log_file, on_cluster, read_history, source, write_history
from .engine.bench import Bench
from .engine.cache import room_for
from .engine.engine import Engine
from .engine.events import Done, Event
from .engine.jobs import Open, Opening
from .explorer import Explorer
from .messages import CopyWanted, EngineEvent, ExportWanted, FigureWanted
from .results import ModelInfo
from .selection import EXAMPLE, Selection
from .views.ahead import Ahead
from .views.palette import Commands, Palette

if TYPE_CHECKING:
    from .outbox import Outcome
    from .remote.far import FarEngine
    from .remote.reach import Reached

DRAW_PAUSE, DRAW_PAUSE_SSH = 0.04, 0.15
"""Seconds between redraws while heads fly by, here and over a slow link."""

LOOKUPS = 2
"""Threads for what would hold the keys up: completions, figures."""
ERRORS, ERRORS_WITHIN = 3, 10.0
"""So many errors in so many seconds end the app."""

WELCOME = "new here? :tour (or F4) shows ten keys in two minutes"

DARK = Theme(
    name="circuit-dark", dark=True, primary="#7aa2d6", secondary="#8fb28a", accent="#e0a95c", background="#12151a",
    surface="#181c22", panel="#1e232b", foreground="#d6dae0", success="#8fc48a", warning="#e0a95c", error="#e07a6c",
)  # fmt: skip
LIGHT = Theme(
    name="circuit-light", dark=False, primary="#2f5f9e", secondary="#4d7a48", accent="#a8641a", background="#f4f3ef",
    surface="#ebe9e3", panel="#e2dfd7", foreground="#23272e", success="#3f7d3a", warning="#a8641a", error="#b23c2e",
)  # fmt: skip


def make_bench() -> Bench:
    """The worker's bench; importing it brings in torch, so it is called in the worker's thread."""
    from .engine.run import Bench as RealBench
    from .views.plot import warm

    warm()  # plotext too, so that the first picture does not wait for its import
    return RealBench()


def bench_for(options: Options) -> Callable[[], Bench]:
    """What makes the bench: of the model on this machine, or on a cluster."""
    if not on_cluster(options.cluster):
        return make_bench

    def make() -> Bench:
        from .cluster.bench import ClusterBench
        from .cluster.joining import Wish
        from .views.plot import warm

        warm()
        return ClusterBench(Wish.of(options))

    return make


def far_engine(emit: Callable[[Event], object], reached: Reached) -> tuple[FarEngine, Lists]:
    """The engine on another machine, and the list of models there."""
    from .remote.far import FarEngine
    from .views.plot import warm

    threading.Thread(target=warm, name="plots", daemon=True).start()  # torch is not brought in by anybody here
    engine = FarEngine(emit, reached)
    return engine, There(engine, reached.host.short)


def opening(options: Options) -> Opening:
    """How the model is opened: what its files say first, and the model itself behind that, unless it is never to be
    loaded."""
    return "weights" if options.weights_only else "stream" if options.stream else "first"


class CircuitApp(App[None]):
    """Starts the engine, shows the explorer, and ends both."""

    CSS_PATH = "style.tcss"
    TITLE = "circuit-tui"
    COMMANDS = {Commands}
    COMMAND_PALETTE_BINDING = "ctrl+p"
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        options: Options,
        bench: Callable[[], Bench] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        reached: Reached | None = None,
    ) -> None:
        """``bench`` makes where jobs are computed (None: by the options), ``clock`` times: tests bring their own.
        ``reached``: another machine, on which they are computed instead."""
        super().__init__()
        self.options = options
        self._errors: deque[float] = deque(maxlen=ERRORS)
        """When the last ones were, on the monotonic clock."""
        self._is_drawn = False
        self.unkept: list[str] = []
        """What could not be kept when the app ended, a sentence each."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = options.theme if options.theme in self.available_themes else DARK.name
        asked = remapping.checked(options.keys)
        commands.remap(asked.keys)  # the explorer's bindings are made of the table
        said = [*asked.wrong.items(), *asked.remarks.items()]
        self._notice = (
            first_of([*options.problems, *remapping.sentences(dict(said), options.origins)]) or options.notice
        )
        self.ahead = Ahead(self, super().on_event, keys.steps())
        self.animation_level = "none"  # every frame of an animation is bytes on the wire
        self.engine: Engine | FarEngine = Engine(
            self._emit, bench or bench_for(options), clock=clock,
            elsewhere="the cluster" if on_cluster(options.cluster) else "",
        )  # fmt: skip
        lists: Lists = Here()
        if reached is not None:
            self.engine, lists = far_engine(self._emit, reached)
        bos = {"auto": None, "on": True, "off": False}[options.bos]
        start = keeping.begin(options)
        model = options.model if start.kept is None or "model" in options.asked else start.kept.source
        selection = Selection(
            open=Open(
                source(model, options.revision), options.device, options.dtype, options.threads,
                opening(options), options.device_map, options.max_memory,
            ),
            text=EXAMPLE if options.prompt is None else options.prompt, bos=bos, chat=options.chat,
            weights="raw" if options.weights == "raw" else "processed",
            page="qk" if options.weights_only else pages.every()[0].name,
        )  # fmt: skip
        over_ssh = "SSH_CONNECTION" in os.environ
        pause = DRAW_PAUSE_SSH if over_ssh else DRAW_PAUSE
        self.explorer = keys.bound(Explorer)(self.engine, selection, read_history(), pause, start, lists)
        self.explorer.directory.know(options.aliases, read_history("commands"))

    def _emit(self, event: Event) -> None:
        """Called in the worker's thread; ``post_message`` alone is safe from there, also after the app has ended."""
        if isinstance(event, Done) and isinstance(event.result, ModelInfo):
            self.engine.cache.limit(room_for(event.result))
        self.explorer.post_message(EngineEvent(event))

    def get_default_screen(self) -> Screen[None]:
        return self.explorer

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.MouseEvent) and not event.is_forwarded and self._is_gone(event):
            return  # Textual would look for what it stands in
        if not self.screen_stack and isinstance(event, events.InputEvent):
            return  # the app ends
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self.ahead.take(event)
        else:
            await super().on_event(event)

    def _is_gone(self, event: events.MouseEvent) -> bool:
        """Whether what is drawn under the mouse has been taken away, and the next picture will be without it."""
        try:
            widget, _ = self.get_widget_at(int(event.x), int(event.y))
        except (NoWidget, ScreenStackError):
            return False
        return not widget.is_attached

    def action_command_palette(self) -> None:
        # Its key is the app's, so it comes here from dialogs too; the commands are the explorer's.
        if self.screen is self.explorer:
            self.push_screen(Palette(directory=self.explorer.directory))

    def search_themes(self) -> None:
        self.push_screen(Palette([ThemeProvider], placeholder="Search for themes…"))

    def on_mount(self) -> None:
        # asyncio's own pool grows to six threads by and by.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS, "lookup"))
        self.explorer.call_after_refresh(gc.enable)
        self.engine.start()
        if self.options.theme is not None and self.options.theme != self.theme:
            known = ", ".join(sorted(self.available_themes))
            where = self.options.origins.get("theme", "option").replace("option", "--theme")
            sentence = f"{where}: there is no theme {self.options.theme!r}; there are {known}."
            self.call_after_refresh(self.explorer.notice.say, sentence)
        elif self._notice:
            self.call_after_refresh(self.explorer.notice.say, self._notice)
        elif self.options.welcome:
            self.call_after_refresh(self.explorer.notice.say, WELCOME, True)
        if self.options.prompts is not None:
            mapped = f" --fields {self.options.fields}" if self.options.fields else ""
            self.call_after_refresh(self.explorer.directory.open_prompts, self.options.prompts + mapped)

    def on_ready(self) -> None:
        self._is_drawn = True
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            process.wake_once(lambda: loop.call_soon_threadsafe(partial(self.refresh, layout=True)))

    def on_unmount(self) -> None:
        self._keep()
        self.explorer.keeping.close()
        self.engine.close(0.2)

    def hang_up(self, code: int) -> None:
        """A signal, or the terminal is gone: keep the session at once, whatever the screen is waiting for, and end.
        Called from another thread than the app's."""
        self.explorer.keeping.flush()
        self.exit(return_code=code)

    def _keep(self) -> None:
        """Write what the user would miss; notes have been written when they were made."""
        self.explorer.keeping.flush()
        said = (self.explorer.keeping.unkept, write_history(self.explorer.prompting.history),
                write_history(self.explorer.directory.history, "commands"))  # fmt: skip
        self.unkept = [*filter(None, said)]

    def survive(self, error: Exception) -> bool:
        """Log and say an error that was raised in a handler. False: it is to end the app, at once. So it is in a test
        (headless), which has to fail."""
        if not self._is_drawn or self.is_headless:
            return False
        if isinstance(error, WorkerFailed):
            error = cast(Exception, error.error)
        logging.error("in a handler", exc_info=error)
        self._errors.append(time.monotonic())
        if len(self._errors) == ERRORS and self._errors[-1] - self._errors[0] < ERRORS_WITHIN:
            self._keep()
            self.exit(return_code=1)
        else:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            sentence = (f"Something failed inside circuit-tui ({what[:80]}) and was left undone. You can go on; the "
                        f"details are at the end of {self.options.log or log_file()}.")  # fmt: skip
            self.explorer.call_later(self.explorer.notice.say, sentence)
        return True

    def _handle_exception(self, error: Exception) -> None:
        if not self.survive(error):
            super()._handle_exception(error)

    def on_export_wanted(self, message: ExportWanted) -> None:
        from . import outbox

        self._say(outbox.export(message))

    def on_copy_wanted(self, message: CopyWanted) -> None:
        from . import outbox

        outcome = outbox.copied(message)
        if outcome.sequence and self._driver is not None:
            self._driver.write(outcome.sequence)
        self._say(outcome)

    def on_figure_wanted(self, message: FigureWanted) -> None:
        self.run_worker(self._draw_figure(message))

    async def _draw_figure(self, message: FigureWanted) -> None:
        """In a thread: importing matplotlib and drawing would hold the keys up for a second."""
        from . import outbox

        self._say(await asyncio.to_thread(outbox.figure, message))

    def _say(self, outcome: Outcome) -> None:
        self.explorer.notice.say(outcome.sentence, good=outcome.good)


def _survive_handlers() -> None:
    """Let every widget, Textual's own too, take its next message after a handler has raised, if the app survives it."""
    dispatch = MessagePump._dispatch_message

    async def dispatch_and_survive(self: MessagePump, message: Message) -> None:
        try:
            await dispatch(self, message)
        except Exception as error:
            if isinstance(message, events.MouseEvent) and isinstance(error, IndexError | NoWidget):
                # A click on what stood there when the button was pressed: Textual looks it up in what stands there now.
                logging.info("a click on something that is gone")
            elif not (isinstance(self.app, CircuitApp) and self.app.survive(error)):
                raise

    MessagePump._dispatch_message = dispatch_and_survive  # type: ignore[method-assign]


_survive_handlers()
