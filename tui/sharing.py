"""What leaves the screen: the menu of what can be copied, and that of files, figures among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from textual.message import Message
from textual.screen import Screen

from . import needs, pages
from .arrange import difference
from .contrast import here_on
from .engine.jobs import Job
from .framing import FigureLook
from .messages import CopyWanted, ExportWanted, FigureWanted
from .pane import title
from .results import ModelInfo, Result, Tokens
from .scene import Says, Scene
from .selection import Selection
from .views.menu import Entry, Menu

if TYPE_CHECKING:
    from .copying import Copy

NOTHING = "nothing is computed yet that could be exported"
_NUMBERS = {
    "j": ("json", "JSON", "the numbers with their labels, formula, conventions and checks"),
    "c": ("csv", "CSV", "the numbers with their labels"), "n": ("npz", "NPZ", "NumPy arrays, with all that JSON has"),
}  # fmt: skip
_FIGURES = {"s": ("svg", "figure, SVG"), "d": ("pdf", "figure, PDF"), "p": ("png", "figure, PNG")}
SETTINGS = "o"
NO_LIBRARY = "needs matplotlib: pip install 'circuit-tui[figures]'"


class Sharing:
    """Asks what is wanted, of what was shown when it asked, and hands that to the app, which has files and terminal."""

    def __init__(
        self, screen: Screen[None], scene: Scene, notice: Says, panel_open: Callable[[], bool],
        ask: Callable[[str], None],
    ) -> None:  # fmt: skip
        """``ask``: asks a question of that id."""
        self._screen, self._scene, self._notice = screen, scene, notice
        self._panel_open, self._ask = panel_open, ask
        self._copies: tuple[Copy, ...] = ()
        self._copied = ""
        """The first part of a copy's file name."""
        self._shown: tuple[Selection, Result] | None = None
        """What the menu of files is about."""
        self._row: tuple[Selection, str] | None = None
        """The selection and form of a figure whose heads are not all computed yet."""

    def needs(self) -> list[Job]:
        """The heads of a figure that somebody waits for."""
        return [] if self._row is None else [job for one in _selections(self._row[0]) for job in needs.pictured(one)]

    def copy(self) -> None:
        """Ask what of the view is to be copied."""
        from .copying import copies  # brings in numpy, which the first paint can do without

        self._copies, self._copied = copies(self._scene.here, self._panel_open()), stem(self._scene.selection)
        entries = [
            Entry(one.key, one.what, one.why if one.text else "", "" if one.text else one.why) for one in self._copies
        ]
        self._screen.app.push_screen(Menu("Copy", entries), self._take)

    def files(self) -> None:
        """Ask what file the view is to become; the first is there at one more key."""
        s = self._scene.selection
        if (result := self._numbers(s)) is None:
            self._notice.say(NOTHING)
            return
        self._shown = s, result
        look = s.look(FigureLook)
        entries = [Entry(key, name, detail) for key, (_, name, detail) in _NUMBERS.items()]
        why_not = ("" if find_spec("matplotlib") else NO_LIBRARY) or self._no_row(s, look)
        entries += [Entry(key, name, str(look), why_not) for key, (_, name) in _FIGURES.items()]
        entries.append(Entry(SETTINGS, "how figures are", "ground, size, numbers in cells, heads in a row"))
        self._screen.app.push_screen(Menu("Write to a file here", entries), self._write)

    def _numbers(self, s: Selection) -> Result | None:
        """What is shown, in the shape that exports have; None while it is not known."""
        known = [self._scene.wishes.cached(job) for job in dict.fromkeys(needs.pictured(s))]
        if not known or None in known:
            return None
        first, *base = known
        return difference(first, *base, ranked=False) if base else first

    @staticmethod
    def _no_row(s: Selection, look: FigureLook) -> str:
        page = pages.of(s)
        if look.heads and not page.of_head:
            return f"{page.title} is of no one head: o, then {replace(look, heads=())}"
        return ""

    def _take(self, key: str | None) -> None:
        """What was taken from the menu of copies."""
        for one in self._copies:
            if one.key == key:
                name = f"{self._copied}-{one.what.lower().replace(' ', '-')}.{one.ending}"
                self._post(CopyWanted(one.what, one.text, name))

    def _write(self, key: str | None) -> None:
        """What was taken from the menu of files."""
        if key == SETTINGS:
            self._ask("figure")
        elif self._shown is not None and key in _NUMBERS:
            s, result = self._shown
            self._post(ExportWanted(result, s, _NUMBERS[key][0]))
        elif self._shown is not None and key in _FIGURES:
            self._row = self._shown[0], _FIGURES[key][0]
            self._notice.say("the figure is being drawn", good=True, about="figure")
            self._scene.want()
            self.draw()

    def draw(self) -> None:
        """Hand the figure over once all of it is known, or say what of it cannot be."""
        if self._row is None:
            return
        s, form = self._row
        wishes = self._scene.wishes
        results: list[Result] = []
        titles: list[str] = []
        for one in _selections(s):
            page, jobs = pages.of(one), needs.pictured(one)
            why = "" if jobs else getattr(page.shown(one), "why", "") or f"{title(page, one)} is not known yet"
            if why := why or next(filter(None, map(wishes.why, jobs)), ""):
                self._row = None
                self._notice.say(f"no figure: {' '.join(why.split())}", about="figure")
                return
            drawn = here_on(page, one, wishes.cached).drawn
            if drawn is None or isinstance(drawn, Tokens | ModelInfo):
                return  # on its way
            if drawn.header.partial and s.look(FigureLook).heads:
                return  # what is on the screen may be a part; what stands beside it is whole
            results.append(drawn)
            titles.append(title(page, one) + (" · (so far)" if drawn.header.partial else ""))
        self._row = None
        self._post(FigureWanted(tuple(results), tuple(titles), s, form))

    def _post(self, message: Message) -> None:
        self._screen.post_message(message)


def stem(s: Selection) -> str:
    """``qk-L1H3``: what a file of a view is called."""
    page = pages.of(s)
    return page.name + (f"-{s.name.replace(' ', '-')}" if page.of_head else "")


def _selections(s: Selection) -> list[Selection]:
    """What stands side by side in a figure."""
    heads = s.look(FigureLook).heads
    return [replace(s, layer=layer, head=head) for layer, head in heads] or [s]
