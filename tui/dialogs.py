"""Questions on the bottom line and what their answers do: at once, or when the worker has looked tokens up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.screen import Screen

from . import questions
from .declared import Lookup, Problem, Question, Segments
from .engine.jobs import Job
from .questions import Choice
from .results import Split
from .scene import Says, Scene
from .selection import Selection
from .views.ask import Ask


class Dialogs:
    """The question that is asked, and the look-ups that answers wait for."""

    def __init__(self, screen: Screen[None], scene: Scene, notice: Says) -> None:
        """``notice``: where something is said once the question is gone."""
        self._screen, self._scene, self._notice = screen, scene, notice
        scene.listen(self.looked_up, self.not_found)
        self._lookups: dict[str, Lookup] = {}
        """Question → the job that checks its answer."""
        self._tried: tuple[str, Lookup] | None = None
        """Question, and the job that says what the text is that is typed."""

    def needs(self) -> list[Job]:
        """Look-ups that somebody waits for."""
        tried = [] if self._tried is None or self._asked(self._tried[0]) is None else [self._tried[1]]
        return [*self._lookups.values(), *tried]

    def ask(self, id: str) -> str:
        """Ask; or the sentence why not."""
        question = questions.named(id, self._scene.selection)
        s = self._scene.selection
        if why := question.refuses(s):
            return why
        hint = " · ".join(filter(None, (question.lists(s), question.hint)))
        self._screen.app.push_screen(Ask(id, question.title, question.before(s), hint))
        return ""

    def answered(self, id: str, text: str) -> None:
        """An answer was typed, or picked."""
        self._take(id, self._question(id).answered(self._scene.selection, text.strip()))

    def typed(self, id: str, text: str) -> None:
        """Show what the text is that stands in the field now."""
        asked, job = self._asked(id), self._question(id).tries(self._scene.selection, text.strip())
        self._tried = None if job is None else (id, job)
        if asked is not None:
            asked.show(())
            self._scene.want()

    def _show(self, job: Job, lines: Sequence[Segments]) -> None:
        if self._tried is not None and self._tried[1] == job and (asked := self._asked(self._tried[0])) is not None:
            asked.show(lines)

    def looked_up(self, job: Job, result: Any) -> bool:
        """The worker has looked an answer up. False: nobody had asked for that."""
        if self._tried is not None and self._tried[1] == job:
            self._show(job, self._question(self._tried[0]).shows(self._scene.selection, result))
        asked = [id for id, lookup in self._lookups.items() if lookup == job]
        for id in asked:
            lookup = self._lookups[id]
            if isinstance(result, Split):
                self._take(id, questions.choice(lookup.text, result, getattr(lookup, "before", "")))
            else:
                self._take(id, self._question(id).found(self._scene.selection, lookup, result))
        return bool(asked)

    def not_found(self, job: Job, sentence: str) -> bool:
        """A job failed: whether it was about an answer, which is then told where it was typed."""
        asked = next((id for id, lookup in self._lookups.items() if lookup == job), None)
        if asked is not None:
            self._problem(asked, sentence)
        elif self._tried is not None and self._tried[1] == job:
            self._show(job, [[(sentence, "$text-error")]])
            return True
        return asked is not None

    def _question(self, id: str) -> Question:
        return questions.named(id, self._scene.selection)

    def _take(self, id: str, answer: Selection | Lookup | Choice | Problem) -> None:
        """A good answer closes its question and is shown; one that needs the worker waits for it."""
        if isinstance(answer, Problem):
            self._problem(id, answer.sentence)
        elif isinstance(answer, Choice):
            self._lookups.pop(id, None)
            if (asked := self._asked(id)) is not None:
                asked.choose(answer.sentence, answer.options)
        elif isinstance(answer, Selection):
            self._lookups.pop(id, None)
            if (asked := self._asked(id)) is not None:
                asked.dismiss()
            self._notice.settle(id, "")
            self._scene.change(answer)
        else:
            self._lookups[id] = answer
            self._scene.want()

    def _problem(self, id: str, sentence: str) -> None:
        """The answer was no good: say so where it was typed, or as a notice if that is gone."""
        self._lookups.pop(id, None)
        if (asked := self._asked(id)) is not None:
            asked.problem(sentence)
        else:
            self._notice.settle(id, sentence)

    def _asked(self, id: str) -> Ask | None:
        """The question as it stands on the screen; one that is only coming up was not the one that was answered."""
        top = self._screen.app.screen
        return top if isinstance(top, Ask) and top.question == id and top.is_mounted else None
