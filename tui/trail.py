"""Where the user has been: back and forward after every jump."""

from __future__ import annotations

from .selection import Selection

LENGTH = 200
"""Places that are remembered."""
PLACE = ("page", "layer", "head", "row", "col", "panel")
"""What a place is, beside the looks that travel: models, prompts, answers and normalisations do not."""


def place(s: Selection) -> Selection:
    """Only where the user was: what is remembered for long holds no tokens of a prompt."""
    looks = [look for look in s.looks if look.travels]
    return Selection().put(*looks, **{name: getattr(s, name) for name in PLACE})


class Trail:
    """Places left behind, and those left by going back."""

    def __init__(self) -> None:
        self._past: list[Selection] = []
        self._future: list[Selection] = []

    def leave(self, here: Selection) -> None:
        """A jump away from ``here``: it can be come back to, what lay ahead cannot."""
        self._past.append(place(here))
        del self._past[:-LENGTH]
        self._future.clear()

    @property
    def places(self) -> tuple[list[Selection], list[Selection]]:
        """Those behind, the latest last, and those ahead, the nearest last."""
        return [*self._past], [*self._future]

    def resume(self, places: tuple[list[Selection], list[Selection]]) -> None:
        """Those of another run."""
        self._past, self._future = [*places[0]], [*places[1]]

    def back(self, here: Selection) -> Selection | None:
        """The place before, None if there is none."""
        return _travel(self._past, self._future, here)

    def forward(self, here: Selection) -> Selection | None:
        """The place that ``back`` came from, None if there is none."""
        return _travel(self._future, self._past, here)


def _travel(source: list[Selection], target: list[Selection], here: Selection) -> Selection | None:
    if not source:
        return None
    there = source.pop()
    target.append(place(here))
    kinds = {type(look) for look in (*here.looks, *there.looks) if look.travels}
    return here.put(*(there.look(kind) for kind in kinds), **{name: getattr(there, name) for name in PLACE})
