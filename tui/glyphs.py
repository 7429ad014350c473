"""What a terminal without all of Unicode shows instead: the Linux console, whose font has the signs of code page 437,
and a locale that is not UTF-8.

Each sign becomes one that takes as many columns, so that nothing moves. The console's own tables know more fonts, but
over ssh nobody can be asked for them: these 256 signs are in all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

_CONSOLE = frozenset(bytes(range(0x80, 0x100)).decode("cp437")) | frozenset("☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼⌂")
_INSTEAD = {
    "─": "-", "━": "─-", "│": "|", "┃": "│|", "╭": "┌+", "╮": "┐+", "╰": "└+", "╯": "┘+", "┌": "+", "┐": "+",
    "└": "+", "┘": "+", "├": "|", "┤": "|", "┬": "+", "┴": "+", "┼": "+", "║": "|", "╌": "─-", "╎": "│|",
    "█": "#", "▓": "#", "▒": "+", "░": ":", "▀": "#", "▄": "#", "▌": "#", "▐": "#", "▖": "▄#", "▗": "▄#", "▘": "▀#",
    "▝": "▀#", "▙": "█#", "▛": "█#", "▜": "█#", "▟": "█#", "▚": "▒+", "▞": "▒+", "▁": "▄_", "▂": "▄_", "▃": "▄#",
    "▅": "▄#", "▆": "█#", "▇": "█#", "▉": "█#", "▊": "█#", "▋": "▌#", "▎": "▌|", "▏": "│|", "▍": "▌|", "▔": "▀^",
    "▸": "►>", "▶": "►>", "►": ">", "◀": "◄<", "◂": "◄<", "▾": "▼v", "▼": "v", "▲": "^", "▴": "▲^", "→": ">", "←": "<",
    "↑": "^", "↓": "v", "⟨": "<", "⟩": ">", "‹": "<", "›": ">", "‖": "║|", "★": "*", "☆": "°o", "●": "•*", "○": "o",
    "•": "*", "◆": "♦*", "·": ".", "…": ".", "−": "-", "–": "-", "—": "─-", "×": "x", "÷": "/", "±": "+", "≈": "~",
    "≤": "<", "≥": ">", "≠": "#", "√": "v", "Σ": "S", "σ": "s", "α": "a", "∅": "φ0", "⏎": "¶$", "⇥": "»>", "␍": "«<",
    "␛": "^", "␡": "⌂^", "␣": "_", "⍽": "_", "⊤": "T", "“": '"', "”": '"', "‘": "'", "’": "'", "✓": "√v", "✗": "x",
    "∞": "8", "°": "o", "²": "2", "³": "3", "¶": "$",
}  # fmt: skip
"""What stands for a sign, the best first, the last in ASCII."""


class Table(dict[int, str]):
    """For ``str.translate``: characters as this terminal shows them, each looked up once."""

    def __init__(self, shows: Callable[[str], bool]) -> None:
        super().__init__()
        self._shows = shows

    def __missing__(self, code: int) -> str:
        made = self[code] = self._shown(chr(code))
        return made

    def _shown(self, char: str) -> str:
        if char.isascii() or self._shows(char):
            return char
        if found := next(filter(self._shows, _INSTEAD.get(char, "")), ""):
            return found
        if "\u2800" <= char <= "\u28ff":  # braille: how many of eight dots
            dots = (ord(char) - 0x2800).bit_count()
            return next(filter(self._shows, (" ", "··.", "∙•:", "■█#")[-(-dots // 3)]), "#")
        plain = unicodedata.normalize("NFKD", char)[:1]
        columns = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        return plain if columns == 1 and plain.isascii() and plain.isprintable() and plain else "?" * columns


def table(environ: Mapping[str, str], encoding: str) -> Table | None:
    """What to translate all that is drawn by; None where the terminal shows everything."""
    term = environ.get("TERM", "").strip().lower()
    if term == "linux" or term.startswith("linux-"):
        return Table(lambda char: char in _CONSOLE or char.isascii())
    if encoding.lower().replace("-", "").replace("_", "") != "utf8":
        return Table(lambda char: _has(encoding, char))
    return None


def _has(encoding: str, char: str) -> bool:
    try:
        char.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
