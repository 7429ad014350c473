"""What a frame costs on the wire: only the characters that are not on the terminal yet.

Textual sends a touched row again from the left edge of the widget, and a widget that is refreshed whole: 2 kB for a
cursor move in a matrix of 6×6, 7 kB for ten rows in the side panel. Here it composes the rows as ever; what was sent is
remembered, a character that stands there already is skipped, and of a style only what differs from the one before is
said. So no widget needs to know which of its characters changed: a refresh of too much costs time, but no bytes.

A whole frame (the first one, after a resize, after another screen) sends everything, and so heals a terminal on which
something else has written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rich.cells import cell_len, get_character_cell_size
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.screen import Screen
from textual.strip import Strip

NEAR = 4
"""Characters between two changes that are sent along where their look is the same: to move over them costs as much."""
_ON_BLANKS = {"4", "7", "9", "21", "51", "52", "53"}
"""Underline, reverse, strike and their like are seen on blanks too."""
_OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "7": "27"}


OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, those of one byte too, and what turns the direction of a line round. They take no column."""


class Look(NamedTuple):
    """How a character is drawn: parameters of SGR sequences. None where they are not seen, as the ink of a blank."""

    attributes: tuple[str, ...] | None
    ink: str | None
    ground: str


PLAIN = Look((), "39", "49")
Cell = tuple[str, Look]
"""What stands in one column. A wide letter, and a text whose letters join, stand in the first; ``""`` in the others."""


def send_changes(screen: Screen[Any]) -> None:
    """Have a screen send only what changes on it; to be called before it is shown."""
    screen._compositor = Changes()  # Textual has no public way to bring one


class Changes(Compositor):
    """Textual's compositor, with frames that leave out what is on the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = Sent()

    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return None if update is None else Part(update, self.sent)

    def render_full_update(self, simplify: bool = False) -> LayoutUpdate:
        return Whole(super().render_full_update(simplify), self.sent)


class Part(ChopsUpdate):
    """Some of the screen. It counts as sent once it is turned into bytes: Textual may drop it before."""

    def __init__(self, update: ChopsUpdate, sent: Sent) -> None:
        super().__init__(update.chops, update.spans, update.chop_ends)
        self.sent = sent

    def render_segments(self, console: Console) -> str:
        system, pen = COLOR_SYSTEMS[console.color_system or "truecolor"], Pen()
        for y, start, end in self.spans:
            for x, strip in self.chops[y].items():
                if strip is not None and x < end and start < x + strip.cell_length:
                    self.sent.put(pen, y, x, cells_of(strip, system), (start - x, end - x))
        return pen.lift()


class Whole(LayoutUpdate):
    """All of the screen."""

    def __init__(self, update: LayoutUpdate, sent: Sent) -> None:
        super().__init__(update.strips, update.region)
        self.sent = sent

    def render_segments(self, console: Console) -> str:
        system, pen = COLOR_SYSTEMS[console.color_system or "truecolor"], Pen()
        self.sent.forget()
        for y, strips in enumerate(self.strips, self.region.y):
            cells = cells_of(Strip.join(strips), system)
            self.sent.put(pen, y, self.region.x, cells, (0, len(cells)))
        return pen.lift()


class Sent:
    """The characters on the terminal, as far as they are known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """Anything may stand on the terminal."""
        self._rows.clear()

    def put(self, pen: Pen, y: int, x: int, cells: Sequence[Cell], span: tuple[int, int]) -> None:
        """Write those of the ``cells`` from column ``x`` that lie in ``span``, counted from there, and are new."""
        row = self._rows.setdefault(y, [])
        row += [None] * (x + len(cells) - len(row))
        before, (first, last) = row[x : x + len(cells)], (max(0, span[0]), min(len(cells), span[1]))
        # What takes several columns is written whole, and what stood in one of its columns goes whole.
        while 0 < first < len(cells) and (_goes_on(cells[first]) or _goes_on(before[first])):
            first -= 1
        while last < len(cells) and (_goes_on(cells[last]) or _goes_on(before[last])):
            last += 1
        new = cells[first:last]
        if before[first:last] == new:
            return
        row[x + first : x + last] = new
        changed = [i for i in range(first, last) if cells[i] != before[i]]
        start = changed[0]
        for one, other in zip(changed, [*changed[1:], None], strict=True):
            if other != one + 1 and (other is None or not _bridged(cells[one:other])):
                pen.write(y, x + start, cells[start : one + 1])
                start = other or 0


def _goes_on(cell: Cell | None) -> bool:
    return cell is not None and not cell[0]


def _bridged(cells: Sequence[Cell]) -> bool:
    """Whether all after the first, which is written, are few and cost no more than their letters."""
    return len(cells) <= NEAR + 1 and all(look == cells[0][1] for _, look in cells)


class Pen:
    """Collects the bytes of a frame; it knows where the terminal's cursor is and how it draws."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._attributes: tuple[str, ...] = ()
        self._ink, self._ground = "39", "49"
        self._at = (-1, -1)

    def write(self, y: int, x: int, cells: Sequence[Cell]) -> None:
        """Characters from a place on."""
        if self._at != (y, x):
            self._out.append(f"\x1b[{x + 1}G" if self._at[0] == y else f"\x1b[{y + 1};{x + 1}H")
        last = None
        for text, look in cells:
            if look is not last:
                self._turn(look)
                last = look
            self._out.append(text)
        self._at = (y, x + len(cells))

    def lift(self) -> str:
        """All that was written; the terminal draws plainly again."""
        if (self._attributes, self._ink, self._ground) != PLAIN:
            self._out.append("\x1b[0m")
        return "".join(self._out)

    def _turn(self, look: Look) -> None:
        codes: list[str] = []
        attributes, ink = look.attributes, look.ink
        if attributes is None:
            attributes = () if _ON_BLANKS & set(self._attributes) else self._attributes
        if attributes != self._attributes:
            off = {_OFF.get(name, "0") for name in self._attributes if name not in attributes}
            if "0" in off:
                off, self._ink, self._ground = {"0"}, "39", "49"
            codes += [*sorted(off), *attributes]
        if ink is not None and ink != self._ink:
            codes.append(ink)
            self._ink = ink
        if look.ground != self._ground:
            codes.append(look.ground)
        if codes:
            self._out.append(f"\x1b[{';'.join(codes)}m")
        self._attributes, self._ground = attributes, look.ground


def cells_of(strip: Strip, system: ColorSystem) -> list[Cell]:
    """A strip column by column."""
    out: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        look, blank = looks_of(style, system) if style else (PLAIN, PLAIN)
        out += [(letters, blank if letters == " " else look) for letters in columns_of(text)]
    return out


@lru_cache(maxsize=4096)
def columns_of(text: str) -> Sequence[str]:
    """A text's letters by columns, without what a terminal would obey: widgets put something in its place where they
    know that a text is from outside, and nothing that they do not know of gets through here."""
    text = OBEYED.sub("", text)
    if text.isascii():
        return text
    sizes, columns = [get_character_cell_size(letter) for letter in text], cell_len(text)
    if 0 not in sizes and sum(sizes) == columns:
        return [part for letter, size in zip(text, sizes, strict=True) for part in (letter, "")[:size]]
    return [text, *[""] * (columns - 1)] if columns else []


@lru_cache(maxsize=4096)
def looks_of(style: Style, system: ColorSystem) -> tuple[Look, Look]:
    """How a style draws letters, and blanks."""
    attributes, ink, ground = [], "39", "49"
    codes = iter(Strip.render_ansi(style, system).split(";"))
    for code in codes:
        number = int(code or 0)
        if number in (38, 48):
            kind = next(codes)
            code = ";".join((code, kind, *(next(codes) for _ in range(1 if kind == "5" else 3))))
        if 30 <= number <= 39 or 90 <= number <= 97:
            ink = code
        elif 40 <= number <= 49 or 100 <= number <= 107:
            ground = code
        elif number:
            attributes.append(code)
    look = Look(tuple(attributes), ink, ground)
    return look, look if _ON_BLANKS & set(attributes) else Look(None, None, ground)
