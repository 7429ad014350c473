"""The prompt field: what is typed becomes the prompt after a pause, and it always holds what is analysed."""

from __future__ import annotations

from dataclasses import replace

from textual.widgets import Input

from . import needs, pages
from .declared import Say
from .pace import Pace
from .pages.continuing import IN_CHAT
from .results import Table
from .scene import Scene
from .selection import Selection, one_prompt
from .text import is_byte
from .views.prompt import PromptInput, PromptLine


class Prompting:
    """The field and the selection's text, each following the other."""

    def __init__(self, line: PromptLine, pace: Pace, scene: Scene) -> None:
        self._line, self._pace, self._scene = line, pace, scene
        self._agreed = scene.selection.text
        """What field and selection both said last: another text in the field is the user's, not yet run."""
        self._visit = 1
        """Which visit of the user to the field this is."""

    @property
    def history(self) -> list[str]:
        """The prompts that were typed."""
        return self._line.history

    @property
    def _field(self) -> PromptInput:
        return self._line.input

    def typed(self) -> None:
        """Another character: the prompt is run when no more come."""
        self._pace.later("typing", self._pace.typing_pause, self.commit)

    def commit(self) -> None:
        """Run what is typed."""
        self._pace.cancel("typing")
        self._agreed = self._field.prompt
        if self._agreed != self._scene.selection.text:
            self._scene.change(replace(self._scene.selection, text=self._agreed), visit=self._visit)

    def left(self) -> None:
        """The user is done typing."""
        self.commit()
        self._visit += 1
        self._field.remember(self._scene.selection.text)

    def follow(self, s: Selection) -> None:
        """The field shows a prompt that was not typed."""
        if s.text != self._agreed:
            self._pace.cancel("typing")
            self._agreed = s.text
            with self._field.prevent(Input.Changed):
                self._field.prompt = s.text

    def edit(self) -> None:
        """The keys are text from here on: of the one prompt, where the mean over a file was shown."""
        s = self._scene.selection
        if pages.of(s).is_over(s):
            self._scene.change(one_prompt(s))
            self._field.display = True  # what stood in its place is gone with the next picture
        self._field.screen.set_focus(self._field)  # at once: the next key is text already

    def append(self) -> Say | None:
        """Append the likeliest next token after the last position."""
        s = self._scene.selection
        if s.model is not None and s.model.capabilities.one_vocabulary:
            return Say(s.model.capabilities.one_vocabulary)
        if s.chat:
            return Say(IN_CHAT)
        table = self._scene.wishes.cached(needs.after_prompt(s))
        if not isinstance(table, Table) or not table.rows:
            return Say("no prediction yet: wait for the prompt to be computed")
        token = str(table.rows[0][table.columns.index("token")])
        if is_byte(token):
            return Say(f"the likeliest next token, {token}, is part of a character: it is no text that could be "
                       f"appended")
        self._scene.change(replace(s, text=s.text + token))
        return None
