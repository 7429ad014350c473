"""What is kept of a run: undo and redo, the log, and the session, which saves and restores itself."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from textual.screen import Screen

from . import session
from .atomic import write
from .choices import Choice, bare, differing, put
from .config import Options
from .declared import Say
from .log import Log
from .pages.chosen import ChosenLook
from .restoring import Restoring, Stage
from .results import WEIGHTS_ONLY
from .saver import Saver
from .scene import How, Says, Scene
from .selection import Selection
from .session import Kept, Unreadable
from .steps import described
from .text import shorten, visible
from .undo import Undo
from .views.log import LogScreen
from .views.palette import Place

ASKED: Mapping[str, tuple[Choice, ...]] = {
    "prompt": ("text", "file", "pair", "answer", "row", "col"), "prompts": ("text", "file", "pair", "answer"),
    "bos": ("bos",), "weights": ("weights",), "weights_only": ("page",), "stream": ("page",),
}  # fmt: skip
"""Options of the command line → what a session does not restore where they are given."""


@dataclass(frozen=True)
class Start:
    """How a run begins."""

    fresh: bool = False
    """Nothing is restored."""
    asked: frozenset[str] = field(default_factory=frozenset)
    """Options that the command line has: they win over what is restored."""
    kept: Kept | None = None
    """The session that was named."""
    problem: str = ""
    """Why it is not there."""


def begin(options: Options) -> Start:
    """How the options want it to begin."""
    try:
        kept = session.read(options.session) if options.session is not None else None
    except Unreadable as error:
        return Start(options.fresh, options.asked, problem=f"{error} The app opened without it.")
    return Start(options.fresh, options.asked, kept)


class Keeping:
    """Watches the scene."""

    def __init__(self, screen: Screen[None], scene: Scene, notice: Says, start: Start) -> None:
        self._screen, self._scene, self._notice, self._start = screen, scene, notice, start
        self._first = scene.selection
        self._undo, self._log = Undo(), Log(scene.selection)
        self._saver = Saver(self._written, lambda sentence: screen.call_later(partial(notice.say, sentence)))
        self._was_opened = False
        self._awaited: Kept | None = None
        """A session on another model, which is being opened."""
        self._left: Selection | None = None
        """What undo brings back once its model is open."""
        self.restoring = Restoring(scene, screen.call_later, self._complete)
        scene.watch(self._changed)

    # --- watching ---------------------------------------------------------------------------------------------------

    def _changed(self, before: Selection, after: Selection, how: How, visit: int) -> None:
        if how in ("user", "cursor", "travel"):
            self.restoring.leave(before)
        if how == "user":
            self._undo.record(before, after, visit)
        if how != "pin":
            self._log.add(before, after, "kept for the model" if how == "recall" else "", visit, how == "cursor")
        if how != "recall":
            self._saver.offer()

    def _written(self) -> tuple[Path, bytes] | None:
        """The session as it is now. Called in any thread: all that it reads is frozen."""
        s = self._scene.selection
        if s.model is None or s.open != s.opened or self.restoring.going_on:
            return None
        return session.of_model(s.model), self._data(s)

    def _data(self, s: Selection) -> bytes:
        scene = self._scene
        return session.written(s, scene.pinned, scene.pinned_difference, scene.trail.places)

    def flush(self) -> None:
        """Write what is not written yet, from any thread."""
        self._saver.flush()

    @property
    def unkept(self) -> str:
        """Why the session is not in its file; empty: it is, as far as it was to be."""
        return self._saver.problem

    def close(self) -> None:
        """The app ends."""
        self._saver.close()

    # --- restoring --------------------------------------------------------------------------------------------------

    def opened(self) -> tuple[str, bool]:
        """A model is open: restore what belongs to it. What to say of that, and whether it is good."""
        said = self._belonging()
        return said, self.restoring.going_on

    def _belonging(self) -> str:
        s, start = self._scene.selection, self._start
        first, self._was_opened = not self._was_opened, True
        awaited, self._awaited = self._awaited, None
        left, self._left = self._left, None
        if s.model is None:
            return ""
        if awaited is not None and awaited.source == s.open.source:
            return self._brought(awaited)
        if left is not None and left.model is not None and left.model.key == s.model.key:
            self.restoring.show([Stage(bare(left))])
        elif first and start.kept is not None:
            return self._brought(start.kept, self._own_choices())
        elif first and start.problem:
            return start.problem
        elif first and not start.fresh and session.of_model(s.model).exists():
            return self._restore_last(session.of_model(s.model))
        return ""

    def _own_choices(self) -> tuple[Choice, ...]:
        """What the command line asks for, and what the user did while the model was loading."""
        asked = (choice for name in self._start.asked for choice in ASKED.get(name, ()))
        return (*asked, *differing(self._first, self._scene.selection, places=True))

    def _restore_last(self, path: Path) -> str:
        try:
            kept = session.read(path)
            said = self._restore(kept, self._own_choices(), own=True)
        except Unreadable as error:
            return f"{error} The app opened without it; it is moved aside when there is another one to keep."
        self._saver.own(path)
        return f"back where you were on {kept.saved}; :fresh starts anew. {said}".strip()

    def _brought(self, kept: Kept, stay: tuple[Choice, ...] = ()) -> str:
        """Show a session that somebody asked for; what to say of it."""
        try:
            said = self._restore(kept, stay)
        except Unreadable as error:
            return f"{error} The app goes on without it."
        return f"{kept.path} is open, as it was on {kept.saved}. {said}".strip()

    def _restore(self, kept: Kept, stay: tuple[Choice, ...], own: bool = False) -> str:
        """Show a session but for the choices that ``stay``; what could not be. ``own``: it saved itself, and the
        circuits of the model are kept in another file."""
        here = self._scene.selection
        assert here.model is not None
        stay = (*stay, "page") if here.model.source == WEIGHTS_ONLY else stay
        wanted, pinned, trail = kept.on(here.model.key)
        there, said = session.restored(here, kept, wanted)
        stages = [Stage(put(there.put(ChosenLook()) if own else there, here, stay))]
        if pinned is not None and kept.vocabulary == here.model.vocabulary:
            stages.insert(0, Stage(session.restored(here, kept, pinned)[0], True, kept.difference))
        self._scene.trail.resume(trail)
        self._scene.hold(None)
        self.restoring.show(stages)
        return said

    def _complete(self, before: Selection, now: Selection) -> None:
        """All of it is there: one step, for undo and the log."""
        self._undo.record(before, now)
        self._log.add(before, now, "a session was opened")
        self._saver.offer()

    # --- what keys and the palette do -------------------------------------------------------------------------------

    def undo(self, back: bool = True) -> None:
        """Take the last change of a setting back, or make it again."""
        s = self._scene.selection
        if s.open != s.opened:
            self._scene.do(Say("another model is being opened: undo and redo wait for it"))
            return
        found = self._undo.back(s) if back else self._undo.forward(s)
        if found is None:
            self._scene.do(Say("nothing to undo: no setting was changed" if back else "nothing was undone"))
            return
        there, step = found
        if "open" in step.choices:
            self._left = step.before if back else step.after
        self._scene.change(there, how="undo")
        lines = [line for line in described(s, there) if not line.startswith("cursor ")]
        what = shorten(" · ".join(map(printable, lines)), 100)
        self._notice.say(f"undone: now {what}; ctrl+r makes it again" if back else f"again: {what}", good=True,
                         about="option")  # fmt: skip

    def fresh(self) -> None:
        """As after a start with nothing to restore."""
        first, s = self._first, self._scene.selection
        if s.model is None:
            self._scene.do(Say("no model is there yet"))
            return
        wanted = Selection(text=first.text, bos=first.bos, weights=first.weights, page=first.page)
        self._scene.hold(None)
        self.restoring.show([Stage(wanted)])
        self._notice.say("a fresh start; backspace brings back what was set", good=True, about="option")

    def save(self, name: str) -> str:
        """Keep the session under a name; what to say."""
        s = self._scene.selection
        if s.model is None:
            return "no model is there yet: its session can be saved once it is"
        try:
            path = session.of_name(name)
            there = "in the place of the one of that name, which is NAME.before now. ".replace("NAME", name)
            before = path.with_name(f"{path.stem}.before.json")
            told = there if os.path.lexists(path) and path.replace(before) else ""
            write(path, self._data(s))
        except Unreadable as error:
            return f"{error}."
        except OSError as error:
            return f"The session cannot be saved in {session.folder()} ({error.strerror}): make room for it there."
        return f"saved {told}in {path}; :open {name} opens it"

    def open(self, name: str) -> str:
        """Open a session by its name or its file; what to say."""
        s = self._scene.selection
        path = dict(session.listed()).get(name) or Path(name)
        try:
            kept = session.read(path)
        except Unreadable as error:
            return f"{error} What is open stays."
        if s.model is not None and s.open == s.opened and (kept.source == s.open.source or
                                                           kept.fingerprint == s.model.key.fingerprint):  # fmt: skip
            return self._brought(kept)
        self._awaited = kept
        self._scene.change(replace(s, open=replace(s.open, source=kept.source)), how="session")
        return f"opening {kept.source}, the model of {kept.path.name}"

    @property
    def script(self) -> str:
        """The log as a file has it."""
        return self._log.script()

    def show_log(self) -> None:
        """What was done, line by line."""
        self._screen.app.push_screen(LogScreen(self._log.lines, self._write_log))

    def _write_log(self) -> str:
        path = next(path for path in _names("circuit-tui-log", ".txt") if not os.path.lexists(path))
        try:
            write(path.absolute(), self.script.encode("utf-8", "backslashreplace"))
        except OSError as error:
            return f"{path.absolute()} could not be written ({error.strerror}): start in a folder that you may write to"
        return f"written: {path.absolute()}"

    def run(self, name: str) -> None:
        """A command by its name."""
        if name == "log":
            self.show_log()
        elif name == "fresh":
            self.fresh()
        else:
            self._notice.say(HOW[name], about="option")

    def places(self, text: str) -> Sequence[Place]:
        """What a text that was typed does here: ``save NAME``, ``open NAME``."""
        word, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        if word.lower() == "save" and rest:
            return [(f"save {rest}", "Keep this session under that name.", partial(self._say, self.save, rest))]
        if word.lower() != "open":
            return []
        found = [(f"open {name}", f"A session, saved in {path}.", partial(self._say, self.open, name))
                 for name, path in session.listed() if name.lower().startswith(rest.lower())]  # fmt: skip
        if not rest:  # enter on the word alone opens none
            names = ", ".join(name for name, _ in session.listed()) or "none is kept yet"
            listed = f"sessions: {names}"
            found.insert(0, ("open", f"Lists them: {names}.", partial(self._notice.say, listed, about="option")))
        if rest and rest not in dict(session.listed()):
            found.append((f"open {rest}", "A session's file.", partial(self._say, self.open, rest)))
        return found

    def _say(self, act: Callable[[str], str], name: str) -> None:
        self._notice.say(act(name), about="option")


HOW = {
    "save": "press : and type save NAME: the session is kept under that name, and open NAME brings it back",
    "sessions": "press : and type open: the sessions there are; or open FILE: one that somebody sent",
}
"""What to type for a command that takes a name."""
COMMANDS = ("log", "fresh", *HOW)
"""What ``Keeping.run`` runs."""


def _names(stem: str, suffix: str) -> Iterator[Path]:
    yield Path(f"{stem}{suffix}")
    for number in itertools.count(2):
        yield Path(f"{stem}-{number}{suffix}")


def printable(line: str) -> str:
    """A line of the log as the notice can show it."""
    return " ".join(visible(word) if word else "" for word in line.split(" "))
