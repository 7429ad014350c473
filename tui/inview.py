"""Finding in what is shown, and arranging lists: in the list that has the keys, else in the picture."""

from __future__ import annotations

from dataclasses import replace

from textual.screen import Screen

from . import finding, pages
from .declared import Here, Say
from .desk import Desk
from .finding import FindLook
from .scene import Says, Scene
from .views.chart import Bars
from .views.find import Find
from .views.listing import by_column, by_next_column, words_of

NO_LIST = "there is no list here: p shows one beside the picture, tab gives it the keys"
FIND = "Find · a token or a label of what is shown; ,text: in the columns alone"
FILTER = "Filter · rows with this text; !text: rows without it; empty: all rows, hidden ones too"


class InView:
    """The keys that find, sort, filter and hide."""

    def __init__(self, screen: Screen[None], scene: Scene, desk: Desk, notice: Says) -> None:
        self._screen, self._scene, self._desk, self._notice = screen, scene, desk, notice
        self._from: tuple[str, tuple[int, int], int] = ("", (0, 0), 0)
        """Page, cell and row from which is searched."""

    @property
    def _listing(self) -> Bars | None:
        """The list that has the keys."""
        focused = self._screen.focused
        return focused if isinstance(focused, Bars) and focused.table is not None else None

    @property
    def _list_in_sight(self) -> Bars | None:
        """The list that has the keys, else the one that is shown, if any is."""
        desk = self._desk
        there = (self._screen.focused, desk.main.picture, desk.panel.picture if desk.panel_open else None)
        return next((one for one in there if isinstance(one, Bars) and one.table is not None), None)

    # --- finding ---

    def find(self) -> None:
        """Ask for a text, and go to the first place that has it while it is typed."""
        s, listing = self._scene.selection, self._listing
        self._from = s.page, pages.of(s).cell(s), listing.cursor if listing is not None else 0
        self._screen.app.push_screen(Find(FIND, "", self._tried, self._found, self._another))

    def match(self, by: int) -> None:
        """The next match of what was looked for last, or the one before."""
        listing, text = self._listing, self._scene.selection.look(FindLook).text
        if listing is None:
            self._scene.do(finding.step(self._scene.here, by))
        elif not text:
            self._notice.say("find what? ctrl+f asks for a text", about="option")
        else:
            there, sentence = _in_list(listing, text, listing.cursor, by)
            self._notice.settle("option", sentence if there is None else "")
            if there is not None:
                listing.set_cursor(there)

    def _tried(self, text: str) -> str:
        """To where the text is, from where the search began; what is to be said of it."""
        page, cell, row = self._from
        here = self._scene.here
        if here.s.page == page:
            here = replace(here, s=pages.of(here.s).at(here.s, *cell))
        return self._go(here, text, row, 1, True) if text else self._back("type a token or a label")

    def _another(self, text: str, by: int) -> str:
        """To the next match, or the one before."""
        row = self._listing.cursor if self._listing is not None else 0
        return self._go(self._scene.here, text, row, by, False) if text else "type a token or a label"

    def _go(self, here: Here, text: str, row: int, by: int, stay: bool) -> str:
        if (listing := self._listing) is not None:
            at, sentence = _in_list(listing, text, row, by, stay)
            if at is None:
                return self._back(sentence)
            listing.set_cursor(at)
            return sentence
        found = finding.find(here, text)
        which = finding.place(finding.cursor(here, found), found, by, stay)
        if which is None:
            return self._back(finding.nowhere(here, text))
        there = finding.at(here, found, which)
        if isinstance(there, Say):
            return there.sentence
        self._scene.change(there)
        return found.of(which)

    def _back(self, sentence: str = "") -> str:
        """The cursor where the search began; what there is to say."""
        page, cell, row = self._from
        s = self._scene.selection
        if (listing := self._listing) is not None:
            listing.set_cursor(row)
        elif s.page == page:
            self._scene.change(pages.of(s).at(s, *cell))
        return sentence

    def _found(self, text: str, kept: bool) -> None:
        if not kept or not text:
            self._back()
        else:
            self._scene.change(self._scene.selection.put(FindLook(text)))

    # --- arranging ---

    def arrange(self, what: str) -> None:
        """``sort`` by the next column, ``filter`` by a text, ``hide`` the row under the cursor."""
        listing = self._list_in_sight
        if listing is None or listing.table is None:
            self._notice.say(NO_LIST, about="option")
        elif what == "sort":
            listing.rearrange(by_next_column(listing.table, listing.how))
        elif what == "filter":
            self._ask(listing)
        elif listing.row is None:
            self._notice.say("no row is left to hide: & shows all of them again", about="option")
        else:
            how = listing.how
            listing.rearrange(replace(how, hidden=how.hidden | {words_of(listing.row)}))
            self._notice.say("hidden: & and enter show all rows again", good=True, about="option")

    def sort(self, name: str) -> str:
        """Sort by a column of that name; why not, or ""."""
        listing = self._list_in_sight
        if listing is None or listing.table is None:
            return NO_LIST
        columns = listing.table.columns
        named = [at for at, column in enumerate(columns) if column.lower() == name.lower()]
        named = named or [at for at, column in enumerate(columns) if column.lower().startswith(name.lower())]
        if not named:
            return f"there is no column {name}: there are {', '.join(columns)}"
        listing.rearrange(by_column(listing.table, listing.how, named[0]))
        return ""

    @property
    def columns(self) -> tuple[str, ...]:
        """By what the list in sight can be sorted."""
        listing = self._list_in_sight
        return listing.table.columns if listing is not None and listing.table is not None else ()

    def _ask(self, listing: Bars) -> None:
        before = listing.how

        def typed(text: str) -> str:
            hidden = before.hidden if text else frozenset[str]()
            listing.rearrange(replace(before, text=text, hidden=hidden))
            count = len(listing.table.rows) if listing.table is not None else 0
            return listing.how.note(len(listing.order), count) or f"all {count} rows"

        def left(text: str, kept: bool) -> None:
            if not kept:
                listing.rearrange(before)

        title = f"{FILTER} (it is “{before.text}”)" if before.text else FILTER
        self._screen.app.push_screen(Find(title, "", typed, left))


def _in_list(listing: Bars, text: str, row: int, by: int, stay: bool = False) -> tuple[int | None, str]:
    """The row of a list that has the text, in the order in which it is shown, and what is to be said of it."""
    table, order = listing.table, listing.order
    rows = [table.rows[at] for at in order] if table is not None else []
    found = finding.Found("rows", tuple((at, None) for at in finding.in_rows(rows, text)))
    which = finding.place((order.index(row) if row in order else 0, 0), found, by, stay)
    if which is None:
        return None, f"no row of this list has “{text}”: a part of it may be there, or another spelling"
    return order[found.places[which][0] or 0], found.of(which)
