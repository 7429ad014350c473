"""The card of a head: what it is made of, and the user's notes, bookmarks and circuit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual.screen import Screen

from . import arrange, kept, moves, notes
from .declared import NO_HEAD, Say
from .engine import jobs
from .names import head_at
from .notes import Note
from .pages import scores
from .pages.chosen import ChosenLook, of_model
from .pages.scores import ScoresLook
from .results import Grid, head_name
from .scene import Says, Scene
from .selection import Selection
from .views.head_card import HeadCard

PAIRS = 5
"""Pairs of each circuit on a card."""


def sections(s: Selection) -> dict[str, jobs.Job]:
    """What a head's card is made of: name of a section → its job, the quick ones first."""
    run, scored = s.run, scores.on_repeats(s)
    if s.key is None or s.head is None or s.model is None or run is None or scored is None:
        return {}
    at = s.layer, s.head
    out: dict[str, jobs.Job] = {"pattern": jobs.Pattern(run, *at), "scores": scored}
    for kind in ("q", "k", "v"):
        if s.layer > 0:
            out[f"fed by ({kind.upper()})"] = jobs.Composition(s.key, *at, kind, "from")
        if s.layer < s.model.n_layers - 1:
            out[f"feeds ({kind.upper()})"] = jobs.Composition(s.key, *at, kind, "into")
    for circuit in ("ov", "qk"):
        out[f"{circuit.upper()} pairs"] = jobs.TopPairs(s.key, *at, circuit, s.weights, k=PAIRS)
    out["copying"] = jobs.CopyingScores(s.key, s.weights, s.look(ScoresLook).sample)
    return out


class Cards:
    """The card that is open, and the notes of the model's heads."""

    def __init__(self, screen: Screen[None], scene: Scene, notice: Says) -> None:
        self.notes: dict[str, Note] = {}
        self._unkept: dict[str, str] = {}
        """Head → what is said of keeping its note."""
        self._screen, self._scene, self._notice = screen, scene, notice

    @property
    def _card(self) -> HeadCard | None:
        return next((card for card in self._screen.app.screen_stack if isinstance(card, HeadCard)), None)

    def needs(self) -> list[jobs.Job]:
        """What the open card shows."""
        return list(sections(self._scene.selection).values()) if self._card is not None else []

    def read(self) -> str:
        """The notes on the model that was opened; what is to be said of it, and of a file that could not be read."""
        model = self._scene.selection.model
        if model is None:
            return ""
        self.notes, problem = notes.read(model.key, model.name)
        return " ".join(filter(None, (problem, *model.notes)))

    def recall(self) -> None:
        """The circuit that was kept for the model that was opened."""
        s = self._scene.selection
        if s.model is not None and not s.look(ChosenLook).there:
            circuits, problem = kept.read(s.model.key, s.model.name)
            self._scene.change(of_model(s, circuits), how="recall")
            self._notice.settle("circuit", problem)

    def keeping(self, act: Callable[[], None]) -> None:
        """Do what may change the circuits, and keep them in the model's file."""
        before = self._scene.selection.look(ChosenLook)
        act()
        s = self._scene.selection
        look = s.look(ChosenLook)
        if s.model is None or look == before:
            return
        model, said = s.model, ""
        for name in before.all.keys() - look.all.keys():
            said = kept.write(model.key, model.name, name, None)
            if look.circuit != before.circuit:
                said = said or f"{before.title} is gone; it was {', '.join(before.all[name].lines()) or 'empty'}"
        if look.there:
            problem = kept.write(model.key, model.name, look.name, look.circuit)
            where = kept.path_of(model.key, model.name)
            said = problem or said or f"{look.title}: {', '.join(look.circuit.lines()) or 'empty'} · kept in {where}"
        self._notice.settle("circuit", said or "circuit: empty")

    def open(self) -> Say | None:
        """The card of the selected head."""
        s = self._scene.selection
        if s.model is None or s.head is None:
            return Say(NO_HEAD.why)
        card = HeadCard((s.layer, s.head))
        self._fill(card)
        self._screen.app.push_screen(card)
        self._scene.want()
        return None

    def draw(self) -> None:
        """What is known by now."""
        if (card := self._card) is not None:
            self._fill(card)

    def _fill(self, card: HeadCard) -> None:
        s = self._scene.selection
        if s.head is None:
            return
        card.turn((s.layer, s.head))
        results = {section: self._scene.wishes.cached(job) for section, job in sections(s).items()}
        grid, note = results.get("pattern"), self.notes.get(s.name)
        card.show(
            self._title(s), arrange.card(results, s.name), grid if isinstance(grid, Grid) else None,
            note.text if note else "", bool(note and note.bookmarked), self._unkept.get(s.name, ""),
        )  # fmt: skip

    @staticmethod
    def _title(s: Selection) -> str:
        """The head, and what of the card is of the changed model."""
        made = {"pattern": s.run, "scores": scores.on_repeats(s)}
        changed = [name for name, one in made.items() if one is not None and one.interventions]
        return f"{s.name} · {' and '.join(changed)} changed" if changed else s.name

    def told(self, message: HeadCard.OnHead | HeadCard.Step | HeadCard.GoTo) -> None:
        """A head to go to, another note on this one, a bookmark, or that the card is closed."""
        if isinstance(message, HeadCard.Step):
            self._scene.do(moves.move(self._scene.selection, message.what, message.by), jump=True)
            self.draw()
            return
        if isinstance(message, HeadCard.GoTo):
            if at := head_at(message.label):
                self._scene.do(moves.to_pattern(self._scene.selection, at), jump=True)
            return
        old = self._note_on(message.head)
        if isinstance(message, HeadCard.Noted):
            self._keep(replace(old, text=message.text))
        elif isinstance(message, HeadCard.ToggleBookmark):
            self._keep(replace(old, bookmarked=not old.bookmarked))
        self._scene.want()

    def _note_on(self, at: jobs.HeadAt) -> Note:
        name = head_name(*at)
        return self.notes.get(name) or Note(name, "", False)

    def _keep(self, note: Note) -> None:
        """On the screen at once, and in the model's file."""
        model = self._scene.selection.model
        if model is None:
            return
        others = {name: other for name, other in self.notes.items() if name != note.head}
        self.notes = {**others, note.head: note} if note.text or note.bookmarked else others
        said = notes.write(model.key, model.name, note)
        self._unkept = {note.head: said} if said else {}
        self._notice.settle("note", said)
