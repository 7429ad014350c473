"""The selection and what follows from it: the wish list, what the worker answers, where the user has been. No widgets.

A changed selection decides the wish list; what is cached is drawn at once and the rest when it arrives. What is drawn,
and when, is for whoever shows the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

from . import moves, needs, pages
from .contrast import here_on
from .declared import Here, Say
from .engine.events import Done, Event, Failed, Partial, Progress, Tied
from .engine.jobs import Job, Open
from .pace import AWAITED
from .selection import Selection, settle
from .trail import Trail
from .wishes import Asks, Wishes

Moved = Selection | Say | None
"""What came of a key: another selection, a sentence, or nothing."""
How = Literal["user", "cursor", "travel", "pin", "undo", "session", "recall", "worker"]
"""Who or what made another selection."""


class Watches(Protocol):
    """Who wants to know of every other selection but the worker's."""

    def __call__(self, before: Selection, after: Selection, how: How, visit: int) -> None: ...


class Face(Protocol):
    """What shows the scene."""

    @property
    def panel_open(self) -> bool: ...
    def draw_soon(self, rest: float = 0.0) -> None:
        """Draw everything, in so many seconds at the latest that it takes to matter."""

    def opened(self) -> None:
        """Another model is open."""


class Says(Protocol):
    """Where a sentence is said."""

    def say(self, sentence: str, good: bool = False, about: str = "") -> None:
        """Another sentence; "" takes the one there away."""

    def settle(self, about: str, sentence: str = "") -> None:
        """What there is to say about something now; "" takes only a sentence about the same thing away."""


class Scene:
    """Holds the Selection."""

    def __init__(
        self, engine: Asks, selection: Selection, face: Face, notice: Says, first: Callable[[], Iterable[Job]]
    ) -> None:
        """``first``: jobs that come before everything else."""
        self._selection = selection
        self._face, self._notice = face, notice
        self.trail = Trail()
        self._pinned: Selection | None = None
        self.pinned_difference = False
        """Whether the difference to what is pinned is shown in its place."""
        self.own_scale = False
        """Whether what is pinned has a colour scale of its own."""
        self._started = False
        self._takers: list[Callable[[Job, Any], bool]] = []
        self._refusers: list[Callable[[Job, str], bool]] = []
        self._watchers: list[Watches] = []
        self.wishes = Wishes(engine, first)

    @property
    def selection(self) -> Selection:
        """What is looked at."""
        return self._selection

    @property
    def pinned(self) -> Selection | None:
        """What is shown beside it; None: nothing."""
        return self._pinned

    @property
    def here(self) -> Here:
        """The selection with what is known of what its page draws."""
        return here_on(pages.of(self._selection), self._selection, self.wishes.cached)

    def listen(self, took: Callable[[Job, Any], bool], refused: Callable[[Job, str], bool]) -> None:
        """Answers are offered first to somebody who asked for them: True if that was so."""
        self._takers.append(took)
        self._refusers.append(refused)

    def watch(self, watcher: Watches) -> None:
        """Tell somebody of every other selection but the worker's."""
        self._watchers.append(watcher)

    def _tell(self, before: Selection, how: How, visit: int = 0) -> None:
        for watcher in self._watchers if how != "worker" else ():
            watcher(before, self._selection, how, visit)

    def start(self) -> None:
        """The screen is painted: the worker may begin."""
        self._started = True
        self.want()

    # --- the user ---------------------------------------------------------------------------------------------------

    def change(self, selection: Selection, jump: bool = False, how: How = "user", visit: int = 0) -> None:
        """Show another selection. ``jump``: ``,`` comes back to this one. ``visit``: to the prompt field, where it was
        typed there."""
        before, selection = self._selection, _settled(selection)
        if selection == before:
            return
        if jump:
            self.trail.leave(before)
        if selection.page != before.page:
            self._notice.say("")  # it was about another page
        self._set(selection)
        self._tell(before, how, visit)
        self.wishes.resume(needs.shown(selection))
        self.want()
        self._face.draw_soon(0.0 if self._is_there() else AWAITED)

    def do(self, moved: Moved, jump: bool = False, said: str = "", how: How = "user") -> None:
        """Show what came of a key; ``said``: what there is to say about it."""
        if isinstance(moved, Say):
            self._notice.say(moved.sentence, about="option")
        elif moved is not None:
            self._notice.settle("option")
            before = self._selection
            self.change(moved, jump, how)
            if remark := moves.remark(before, moved):
                self._notice.say(remark, good=True, about="option" if before.model else "Open")
            elif said:
                self._notice.say(said, about="option")

    def follow(self, selection: Selection) -> bool:
        """The cursor has moved: nothing is drawn anew. False if it has not."""
        page = pages.of(selection)
        if page.cell(selection) == page.cell(self._selection):
            return False
        before, self._selection = self._selection, selection
        self._tell(before, "cursor")
        self.want()
        return True

    def pin(self) -> None:
        """Pin what is shown beside what comes; then the difference of the two; then nothing."""
        if self._pinned is None:
            self._pinned, self.pinned_difference = self._selection, False
            self._notice.say("pinned: move on, both share the cursor and the colour scale; | again shows the "
                             "difference", good=True, about="pin")  # fmt: skip
        elif not self.pinned_difference:
            self.pinned_difference = True
        else:
            self._pinned = None
            self._notice.settle("pin")
        self._tell(self._selection, "pin")
        self.want()
        self._face.draw_soon()

    def hold(self, pinned: Selection | None, difference: bool = False) -> None:
        """Pin what was pinned in another run, or nothing."""
        self._pinned, self.pinned_difference = pinned, difference
        self.want()
        self._face.draw_soon()

    def rescale(self) -> None:
        """A colour scale for each of the two pictures, or one for both."""
        self.own_scale = not self.own_scale
        self._face.draw_soon()

    def _pin_survives(self) -> str:
        """What is pinned stays beside another model of one vocabulary, as it was computed; else why it went."""
        pinned, model, self._pinned = self._pinned, self._selection.model, None
        if pinned is None or pinned.model is None or model is None:
            return ""
        if pinned.model.vocabulary != model.vocabulary:
            return "what was pinned is gone: the models have different vocabularies. "
        if any(self.wishes.finished(job) is None for job in needs.pictured(pinned)):
            return "what was pinned is gone: it was not computed yet. "
        self._pinned = pinned
        return ""

    def travel(self, back: bool, silent: bool = False) -> None:
        """To where the last jump was made, or to where that led back from. ``silent``: nothing is said where there is
        no such place."""
        step = self.trail.back if back else self.trail.forward
        there = step(self._selection)
        while there is not None and there == self._selection:  # one was there by another key meanwhile
            there = step(self._selection)
        self.do(there or (None if silent else Say(f"nowhere to go {'back' if back else 'forward'} to")))

    def stop(self) -> bool:
        """Stop the search that the page shows; whether there was one."""
        stopped = self.wishes.stop(needs.shown(self._selection))
        if stopped:
            self.want()
            self._notice.say("stopped: what was found so far stays; any other key goes on")
        return stopped

    def switch(self, *jobs: Job) -> bool:
        """Take jobs off the wish list by hand, or put them back; whether they are off it now."""
        off = self.wishes.switch(*jobs)
        self.want()
        self._face.draw_soon()
        return off

    # --- the worker -------------------------------------------------------------------------------------------------

    def want(self) -> None:
        """Ask for what the selection needs; what is cached may change it."""
        there: dict[Job, Any] = {}
        while self._started:
            s = before = self._selection
            there = self.wishes.want(s, self._face.panel_open, self._pinned)
            for job, result in there.items():
                s = needs.told(s, job, result)
                self._pinned = _completed(self._pinned, s, job, result)
            self._set(_settled(s))
            if self._selection == before:
                break
        for job, result in there.items():
            self._taken(job, result)

    def said(self, event: Event) -> None:
        """Something the worker said."""
        if isinstance(event, Progress):
            self.wishes.counted(event)
        elif isinstance(event, Failed):
            self._failed(event)
        elif isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Partial):
            self.wishes.came_in_part(event)
            self._face.draw_soon()
        elif isinstance(event, Tied):
            self.wishes.tied(event)
            self._notice.settle("line", event.trouble and f"{event.trouble} Connecting again; what is here stays.")

    def _done(self, event: Done) -> None:
        before, pinned, shown = self._selection, self._pinned, needs.shown(self._selection)
        self.wishes.came(event, shown)
        self._notice.settle(type(event.job).__name__)
        self._pinned = _completed(pinned, before, event.job, event.result)
        if self._taken(event.job, event.result):
            return
        self.change(needs.told(before, event.job, event.result), how="worker")
        if self._selection == before:
            if event.job == shown or self._pinned is not pinned:
                self.want()  # the part under the cursor has a name now, and the panel may speak of it
            self._face.draw_soon()

    def _taken(self, job: Job, result: Any) -> bool:
        return any(took(job, result) for took in self._takers)

    def _failed(self, event: Failed) -> None:
        s, sentence = self._selection, f"{event.error} {event.hint}".strip()
        if any(refused(event.job, sentence) for refused in self._refusers):
            return
        if not self.wishes.lists(event.job):
            return  # of a view that was left meanwhile: under another it would be that one's
        self.wishes.went_wrong(event)
        if event.job in needs.prefetched(pages.of(s), s):
            return  # nobody asked for it yet; it is said when somebody does
        self.wishes.activity = "failed" if s.opened is None else "ready"
        self._set(_settled(needs.failed(s, event.job)))
        in_sight = [needs.shown(s), needs.panel_job(s, self.wishes.cached) if self._face.panel_open else None]
        if event.job not in in_sight and not (isinstance(event.job, Open) and s.opened is None):
            self._notice.say(sentence, about=type(event.job).__name__)
        self.want()
        self._face.draw_soon()

    def _set(self, selection: Selection) -> None:
        before, self._selection = self._selection, selection
        if selection.open != before.open and selection.open != selection.opened:
            self.wishes.resume(selection.open)
            self.wishes.activity = f"opening {selection.open.source}"
        if selection.file is not None and selection.file.notes and selection.file.rows is not (
            before.file.rows if before.file else None
        ):
            self._notice.say(" ".join(selection.file.notes), about="prompts")
        model = selection.model
        if model is not None and model.key.apart and before.model is not None and not before.model.key.apart:
            self._notice.say(model.notes[-1], about="Boot")
        if selection.opened != before.opened:
            self.wishes.activity = "ready"
            self._notice.settle("Open")
            said = self._pin_survives()
            if before.stack and not selection.stack:
                said += "the changes were of the model before and are gone with it"
            if before.chat and not selection.chat and selection.model is not None:
                said += f". {selection.model.no_chat}" if said.strip() else selection.model.no_chat
            if said:
                self._notice.say(said.strip(), about="stack")
            self._face.opened()

    def _is_there(self) -> bool:
        """Whether the picture can be drawn as it is wanted now."""
        s = self._selection
        pending = s.model is not None and s.tokens_of != needs.tokenizing(s)
        return not pending and self.wishes.cached(needs.shown(s)) is not None


def _completed(pinned: Selection | None, s: Selection, job: Job, result: Any) -> Selection | None:
    """What was pinned before its tokens or its likeliest answer were known has them as they come."""
    if pinned is None or pinned.open != s.open or job not in needs.deciding(pinned):
        return pinned
    return _settled(needs.told(pinned, job, result))


def _settled(s: Selection) -> Selection:
    return settle(pages.of(s).settled(s))
