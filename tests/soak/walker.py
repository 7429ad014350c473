"""What is sent: all that ``Player`` draws, other models, cancellations, and questions answered with rubbish."""

from __future__ import annotations

from collections.abc import Sequence

from tests.e2e.player import ESCAPE, TEXTS, Player
from tests.faults import grammar

ASKING = [
    *"APOGI/;t", '"', "~", "R",
    *(":answer\r", ":sort ", ":find ", ":continuation ", ":h ", ":pos ", ":save ", ":open "),
]  # fmt: skip
"""What asks something, or begins what is asked."""
LONG = [*"79KVYQ", "1", ":induction\r", "/king>prince\r", "/France>Paris, king>queen\r", ":prompts capital\r"]
"""What takes a while."""


class Walker(Player):
    """Counts what it has drawn of each kind."""

    def __init__(self, seed: int, models: Sequence[str]) -> None:
        """``models``: what is opened in each other's place."""
        super().__init__(seed)
        self._models = models
        self.switches = self.cancelled = self.rubbish = 0
        self._kinds += [(4, self._answer), (3, self._cancel), (1, self._model)]

    def _answer(self) -> str:
        """Rubbish: pasted, since as keys it would be anything."""
        self.rubbish += 1
        text = grammar.text(self._dice) if self._dice.random() < 0.7 else self._dice.choice(TEXTS)
        safe = text.encode("utf-8", "replace").decode()
        return self._dice.choice(ASKING) + f"\x1b[200~{safe}\x1b[201~" + self._dice.choice(["\r", "\r", ESCAPE, "\t\r"])

    def _cancel(self) -> str:
        """Something long, and at once an end of it."""
        self.cancelled += 1
        return self._dice.choice(LONG) + self._dice.choice([ESCAPE, ESCAPE * 2, "2", "}", "Jx" + ESCAPE])

    def _model(self) -> str:
        self.switches += 1
        name = self._dice.choice([*self._models, *self._models, "no/such/model", "/nowhere"])
        return ESCAPE * 3 + (f":model {name}\r" if self._dice.random() < 0.7 else f"M{name}\r")
