"""A restored view on its way to the screen: first what was pinned, then what was shown, each complete once its tokens
are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import needs
from .choices import graft
from .pages.chosen import ChosenLook
from .scene import Scene
from .selection import Selection


@dataclass(frozen=True)
class Stage:
    """A selection on its way to the screen: it is complete when its tokens are there."""

    wanted: Selection
    pin: bool = False
    """Whether it is pinned then."""
    difference: bool = False
    """Whether the difference to it is shown."""


class Restoring:
    """Shows one stage after the other."""

    def __init__(
        self, scene: Scene, later: Callable[[Callable[[], None]], object],
        complete: Callable[[Selection, Selection], None],
    ) -> None:  # fmt: skip
        """``complete``: is told what was there before, and what is there now."""
        self._scene, self._later, self._complete = scene, later, complete
        self._stages: list[Stage] = []
        self._before = scene.selection

    @property
    def going_on(self) -> bool:
        """Whether something is still to come."""
        return bool(self._stages)

    def show(self, stages: list[Stage]) -> None:
        """Show these."""
        self._before, self._stages = self._scene.selection, stages
        self._draw(stages[0])
        self._later(self.proceed)

    def proceed(self) -> None:
        """Go on, where what it waited for is there."""
        while self._stages and self._is_complete(stage := self._stages[0]):
            self._draw(stage)
            if not self._is_complete(stage):
                return
            if stage.pin:
                self._scene.hold(self._scene.selection, stage.difference)
            if len(self._stages) == 1:
                self.leave(self._scene.selection)
                return
            del self._stages[0]
            self._draw(self._stages[0])

    def leave(self, now: Selection) -> None:
        """It is complete, or the user goes on already: what was still to come would be in the way."""
        if self._stages:
            self._stages = []
            self._complete(self._before, now)

    def _draw(self, stage: Stage) -> None:
        here, wanted = self._scene.selection, stage.wanted
        # The circuits of a model are in a file of their own, which is read meanwhile.
        wanted = wanted if wanted.look(ChosenLook).there else wanted.put(here.look(ChosenLook))
        self._scene.change(graft(here, wanted), how="worker")

    def _is_complete(self, stage: Stage) -> bool:
        s, wishes = self._scene.selection, self._scene.wishes
        if any(job not in wishes.failed for job in needs.deciding(s, whole=False)):
            return False
        # A picture that is pinned never asks again.
        asked = needs.deciding(s) if stage.pin else []
        return all(job in wishes.failed or wishes.finished(job) is not None for job in asked)
