"""The screen of jobs: what it lists of the worker, the process and the card, and the job that is stopped there."""

from __future__ import annotations

import threading
import time

from textual.screen import Screen

from . import memory, underway
from .engine.jobs import Job
from .label import in_bytes
from .scene import Scene
from .underway import Entry
from .views.jobs import Jobs, Reading, Row

CARD_EVERY = 5.0
"""Seconds between two questions about the card: asking starts a program."""


class Working:
    """Reads the worker while the list is open, and takes jobs off the wish list."""

    def __init__(self, screen: Screen[None], scene: Scene) -> None:
        self._screen, self._scene = screen, scene
        self._entries: dict[str, Entry] = {}
        self._ids: dict[tuple[bool, Job], str] = {}
        """Whether a job is kept, and the job → what the list calls it: the same as long as it is open."""
        self._card: tuple[int, int] | None = None
        self._asked = -CARD_EVERY

    def open(self) -> None:
        """Show the list."""
        self._ids.clear()
        self._screen.app.push_screen(Jobs(self._read, self._switch))

    def _switch(self, id: str) -> str:
        """Stop a job of the list, or ask for it again; a result that is there is let be. What came of it."""
        entry = self._entries.get(id)
        if entry is None:
            return ""
        if entry.state == "kept":
            return f"{entry.name} is computed: it goes by itself when the cache is full"
        jobs = underway.stopped_with(entry.job, self._scene.wishes.load()) if entry.state != "stopped" else [entry.job]
        if not jobs:
            return f"{entry.name} has ended meanwhile"
        off = self._scene.switch(*jobs)
        name = underway.name_of(jobs[0]) + (f" and {len(jobs) - 1} more" if len(jobs) > 1 else "")
        return f"{name} {'is stopped: x asks for it again' if off else 'is wanted again'}"

    def _read(self) -> Reading:
        load, s = self._scene.wishes.load(), self._scene.selection
        entries = underway.entries(load, self._scene.wishes.off)
        self._entries = {self._id(entry): entry for entry in entries}
        rows = tuple(
            Row(id, "" if one.state == "part" else one.state, f"└ {one.name}" if one.state == "part" else one.name,
                _took(one.seconds), "" if one.nbytes is None else in_bytes(one.nbytes))
            for id, one in self._entries.items()
        )  # fmt: skip
        stage, done, total = load.stage if load.running else ("idle", 0, 0)
        share = f" {done}/{total}" if total else ""
        where = f"{load.elsewhere}, " if load.elsewhere else ""
        memory_line = [f"process {'here ' if where else ''}{in_bytes(memory.resident())}"]
        device = s.model.key.device if s.model is not None and not where else ""
        if device.startswith("cuda"):
            self._ask_card(device)
            used, there = self._card or (0, 0)
            memory_line.append(f"{device} {in_bytes(used)} of {in_bytes(there)}" if there else f"{device} …")
        memory_line.append(f"{threading.active_count()} threads")
        cache = f"cache {in_bytes(load.used_bytes)} of {in_bytes(load.limit_bytes)}, {len(load.kept)} results"
        return Reading(rows, (f"worker: {where}{stage or 'computing'}{share}", " · ".join((*memory_line, cache))))

    def _id(self, entry: Entry) -> str:
        return self._ids.setdefault((entry.state == "kept", entry.job), str(len(self._ids)))

    def _ask_card(self, device: str) -> None:
        """In a thread of its own, since the answer may take seconds."""
        if time.monotonic() - self._asked < CARD_EVERY:
            return
        self._asked = time.monotonic()

        def ask() -> None:
            self._card = memory.of_card(device)

        threading.Thread(target=ask, name="card", daemon=True).start()


def _took(seconds: float | None) -> str:
    """``12 ms``, ``3.4 s``, ``5 min``."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
