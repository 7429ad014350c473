"""The Models screen: what it lists and says, and the model that is opened there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Protocol

from textual.screen import Screen

from . import label, moves, shelf
from .label import Label, in_bytes, short
from .results import Capabilities, ModelInfo
from .scene import Says, Scene
from .selection import Selection
from .views.models import Lines, Models

PAUSE = 0.1
"""Seconds between two lots of models that are put into the list."""


class Lists(Protocol):
    """The models of the machine on which they are opened."""

    @property
    def where(self) -> str:
        """Its name; empty: it is this one."""

    def look(self, opened: str, device: str) -> Iterator[tuple[int | None, tuple[Label, ...]]]:
        """Lots of them as they are found, with the free bytes of the device. ``opened``: folder of the open one."""

    def remember(self, source: str, name: str, folder: str) -> None:
        """Keep one that was opened for the list of another run."""


class Here:
    """Those of this machine."""

    where = ""

    def look(self, opened: str, device: str) -> Iterator[tuple[int | None, tuple[Label, ...]]]:
        free, lot, sent = label.free_memory(device), [], 0.0
        try:
            for one in shelf.look(Path.cwd(), opened):
                lot.append(one)
                if time.monotonic() - sent > PAUSE:
                    yield free, tuple(lot)
                    lot, sent = [], time.monotonic()
        except Exception:  # a library's, on a cache that somebody has changed meanwhile: what was found is listed
            logging.exception("listing models")
        yield free, tuple(lot)

    def remember(self, source: str, name: str, folder: str) -> None:
        shelf.remember(shelf.lasting(source, folder), name, folder)


class Asked(Protocol):
    """Who asks another machine for its models."""

    def look(self, opened: str, device: str) -> Iterator[tuple[int | None, tuple[Label, ...]]]: ...


class There:
    """Those of another machine, which remembers by itself what was opened there."""

    def __init__(self, engine: Asked, where: str) -> None:
        self.look, self.where = engine.look, where

    def remember(self, source: str, name: str, folder: str) -> None:
        """It has been done."""


class Browsing:
    """Lists models in a thread of its own, since a disk may be slow, and opens the one that is chosen."""

    def __init__(self, screen: Screen[None], scene: Scene, notice: Says, lists: Lists) -> None:
        self._screen, self._scene, self._notice, self._lists = screen, scene, notice, lists
        self._free: int | None = None
        """Free bytes of the device, as of when the list was opened."""

    def open(self) -> None:
        """Show the list."""
        self._screen.app.push_screen(Models(self._card, self._begin, self._is_open, self._lists.where))

    def chosen(self, source: str) -> None:
        """Open a model; again where that has failed."""
        s = self._scene.selection
        if s.opened is not None and s.opened.source == source:
            self._notice.say(f"{source} is open already", about="option")
        elif s.open.source == source:
            self._scene.wishes.resume(s.open)
            self._scene.want()
        else:
            self._scene.do(moves.to_model(s, source))

    def remember(self) -> None:
        """Keep the model that was opened for the list of another run."""
        s = self._scene.selection
        if s.model is not None and s.opened is not None:
            self._lists.remember(s.opened.source, s.model.name, s.model.key.folder)

    # --- the list ---

    def _begin(self, models: Models) -> None:
        model = self._scene.selection.model
        opened = "" if model is None else model.key.folder
        threading.Thread(target=self._search, args=(models, opened), name="models", daemon=True).start()

    def _search(self, models: Models, opened: str) -> None:
        """In a thread of its own: every model, in lots."""
        for free, lot in self._lists.look(opened, _device(self._scene.selection)):
            self._free = free
            if not models.post_message(Models.Found(lot)):
                return  # the list is closed
        models.post_message(Models.Found((), done=True))

    def _is_open(self, one: Label) -> bool:
        model = self._scene.selection.model
        return model is not None and one.folder == model.key.folder

    def _card(self, one: Label) -> Lines:
        s = self._scene.selection
        model = s.model if self._is_open(one) else None
        return [(what, value, style) for what, value, style in card(one, s, model, self._free) if value]


def card(one: Label, s: Selection, model: ModelInfo | None, free: int | None) -> Iterator[tuple[str, str, str]]:
    """What is said of a model, (what, value, style); ``model``: what is known of it where it is the open one."""
    if not one.folder:
        yield "not here", "a folder by this path, or a model of this name on the hub, is looked for", ""
        return
    device, dtype = _device(s), s.open.dtype
    if one.trouble:
        yield "trouble", one.trouble, "$text-error"
    yield "architecture", one.architecture, "bold"
    widths = [f"{name} {value:,}" for name, value in (("d_model", one.d_model), ("d_head", one.d_head)) if value]
    yield "sizes", " · ".join(filter(None, (one.sizes, *widths))), ""
    ends = (("vocabulary", one.vocabulary), ("context", one.context))
    yield "tokens", " · ".join(f"{name} {value:,}" for name, value in ends if value), ""
    stored = f"{in_bytes(one.file_bytes)} on disk" if one.file_bytes else ""
    count = short(one.parameters) if one.parameters else "as many as its files say when it is opened"
    yield "parameters", " · ".join(filter(None, (count, one.stored, stored))), ""
    if needed := one.memory(dtype, device):
        room = "" if free is None else f" · {in_bytes(free)} free"
        large = free is not None and needed > free and model is None
        said = f"{in_bytes(needed)} in {one.runs_in(dtype, device)} on {device}{room}"
        yield "memory", f"{said}: it does not fit" if large else said, "$text-error" if large else ""
    yield "conventions", ", ".join(one.conventions), ""
    yield "tokenizer", one.tokenizer, ""
    yield "from", f"{one.folder} ({one.group})", ""
    if model is not None:
        bos = "BOS by default" if model.bos_default else "no BOS by default"
        key = model.key
        yield "open now", f"{key.dtype} on {key.device} · {model.positions} positions · {model.norm} · {bos}", "bold"
        for sentence, names in off(model.capabilities).items():
            yield "off", f"{', '.join(names)}: {sentence}", ""


def off(capabilities: Capabilities) -> dict[str, list[str]]:
    """Why something is not offered → what."""
    out: dict[str, list[str]] = {}
    for one in fields(capabilities):
        if sentence := getattr(capabilities, one.name):
            out.setdefault(sentence, []).append(one.name.replace("_", " "))
    return out


def _device(s: Selection) -> str:
    """Where a model would run."""
    return s.open.device if s.open.device != "auto" else s.model.key.device if s.model is not None else "cpu"

