"""``python -m tests.benchmarks.child KIND LOG [ARGUMENT …]``: what the benchmarks run on their pseudo-terminals.

LOG gets a line for each thing worth counting: ``plotext`` for a call of plotext, a job's name when it is computed,
``stall START SECONDS`` when the event loop stood still, ``torch START END``, ``opened TIME``.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
import time
from typing import Any

KIND, LOG, ARGUMENTS = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.argv[3:]
HEADS = 8
"""Matrices of ``grids``: more than a heatmap keeps pictures of."""


def note(*words: object) -> None:
    """A line of the log."""
    os.write(LOG, (" ".join(map(str, words)) + "\n").encode())


def bare() -> None:
    """As little as a Textual app can be, for the first paint."""
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    class Bare(App[None]):
        def compose(self) -> ComposeResult:
            yield Static("Prompt ▸", markup=False)

    Bare().run()


def first() -> None:
    """The app; what is imported when its first line is drawn."""
    from textual.drivers.linux_driver import LinuxDriver

    write = LinuxDriver.write

    def look(self: LinuxDriver, data: str) -> None:
        if "Prompt ▸" in data and not os.lseek(LOG, 0, os.SEEK_END):
            names = ("torch", "transformer_lens", "plotext", "numpy")
            note("loaded", *(name for name in names if name in sys.modules))
        write(self, data)

    LinuxDriver.write = look
    run()


def idle() -> None:
    """A bare app's event loop beside the one that is measured: what it stands still is the machine's doing."""
    from textual.app import App

    class Idle(App[None]):
        def on_mount(self) -> None:
            watch()

    Idle().run()


def watch() -> None:
    """Note whenever the event loop was away for more than 10 ms longer than asked for."""

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            if now - last > 0.015:
                note("stall", last, now - last - 0.005)
            last = now

    global _ticking
    _ticking = asyncio.get_running_loop().create_task(tick())


def count() -> None:
    """Note calls of plotext, and jobs as they are computed."""
    from tui.engine.engine import Engine
    from tui.views import plot

    library, compute = plot.library, Engine._compute

    def counted() -> Any:
        note("plotext")
        return library()

    def computed(self: Engine, job: Any, ctx: Any) -> Any:
        note(type(job).__name__)
        return compute(self, job, ctx)

    plot.library, Engine._compute = counted, computed


def app() -> None:
    """The app itself."""
    count()
    run()


def line_app() -> None:
    """The app with its matrices drawn by the line API."""
    heatmap, peers = importlib.import_module("tui.views.heatmap"), importlib.import_module("tests.benchmarks.peers")
    heatmap.picture = peers.line_picture
    run()


def stalls() -> None:
    """The app with its event loop watched; torch is imported where it would be, between two notes."""
    from tui.app import CircuitApp
    from tui.engine.engine import Engine

    compute, mounted = Engine._compute, CircuitApp.on_mount

    def computed(self: Engine, job: Any, ctx: Any) -> Any:
        if self._bench is None:
            gc.disable()
            begun = time.monotonic()
            importlib.import_module("torch")
            note("torch", begun, time.monotonic())
            gc.freeze()  # as the engine does before it collects again
            gc.enable()
        value = compute(self, job, ctx)
        if type(job).__name__ in ("Open", "Boot"):  # from its files, then the model itself: the last one counts
            note("opened", time.monotonic())
        return value

    def on_mount(self: CircuitApp) -> None:
        watch()
        mounted(self)

    Engine._compute, CircuitApp.on_mount = computed, on_mount
    run()


def walk() -> None:
    """The app, walking heads and editing its prompt by itself; notes its memory."""
    from tui.app import CircuitApp

    mounted = CircuitApp.on_mount

    def on_mount(self: CircuitApp) -> None:
        global _walking
        _walking = asyncio.get_running_loop().create_task(steps(self))
        _walking.add_done_callback(ended)
        mounted(self)

    CircuitApp.on_mount = on_mount
    run()


def ended(task: asyncio.Task[None]) -> None:
    """Nobody waits for the task: what it raised ends the process."""
    if not task.cancelled() and (error := task.exception()) is not None:
        note("failed", repr(error))
        os._exit(1)


async def steps(app: Any) -> None:
    """``WARM`` steps and 2,500 more, every fifth an edit of the prompt; each waits until its picture is drawn."""
    from dataclasses import replace

    from tests.benchmarks.memory import LENGTHS, STEPS, WARM
    from tui import needs

    explorer = app.explorer
    cache = explorer.engine.cache

    async def drawn() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            await asyncio.sleep(0.002)
            job = needs.shown(explorer.selection)
            result = explorer.engine.cached(job) if job else None
            tokens_there = explorer.selection.tokens_of is not None and (
                explorer.selection.tokens_of.text == explorer.selection.text
            )
            if result is not None and tokens_there and explorer.main.heatmap.grid is result:
                return
        note("late", explorer.selection.text)

    while explorer.selection.tokens is None:
        await asyncio.sleep(0.1)
    words = explorer.selection.text.split()
    for step in range(WARM + STEPS):
        if step % 100 == 0:
            note("rss", step, resident(), cache.used_bytes / cache.limit_bytes)
        if step % 5 == 4:
            edit = step // 5
            text = " ".join([*words[: 8 + edit % LENGTHS], f"{edit}"[-3:]])
            explorer.scene.change(replace(explorer.selection, text=text))
        elif step % 20 == 19:
            explorer.action_move("layer", 1)
        else:
            explorer.action_move("head", 1)
        await drawn()
    note("rss", WARM + STEPS, resident(), cache.used_bytes / cache.limit_bytes)
    note("end")


def resident() -> float:
    """Megabytes."""
    pages = int(open("/proc/self/statm").read().split()[1])  # noqa: SIM115
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def grids() -> None:
    """Nothing but a heatmap; ``}`` shows the next of some matrices. ``line``: by the line API."""
    from textual.app import App, ComposeResult
    from textual.screen import Screen

    from tests.views.grids import random_grid
    from tui.views import plot
    from tui.views.frame import send_changes
    from tui.views.heatmap import Heatmap

    if ARGUMENTS == ["line"]:
        heatmap, peers = importlib.import_module("tui.views.heatmap"), importlib.import_module("tests.benchmarks.peers")
        heatmap.picture = peers.line_picture
    plot.warm()
    made = [random_grid(64, 64, seed=seed) for seed in range(HEADS)]

    class Grids(App[None]):
        shown = 0

        def get_default_screen(self) -> Screen[None]:
            screen: Screen[None] = Screen()
            send_changes(screen)  # both are sent as the app sends its frames
            return screen

        def compose(self) -> ComposeResult:
            yield Heatmap(made[0])

        def on_mount(self) -> None:
            self.animation_level = "none"
            self.query_one(Heatmap).zoom = "whole"
            gc.freeze()

        def on_key(self, event: Any) -> None:
            if event.character == "}":
                self.shown = (self.shown + 1) % HEADS
                self.query_one(Heatmap).grid = made[self.shown]

    Grids().run()


def run() -> None:
    """The command line."""
    from tui import cli

    cli.main(ARGUMENTS)


if __name__ == "__main__":
    globals()[KIND]()
