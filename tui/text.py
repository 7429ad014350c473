"""Token text that is safe and honest to print: whitespace made visible, nothing that a terminal would obey."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

_NAMED = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\x1b": "␛", "\x7f": "␡", "\u00a0": "⍽", "\u200b": "␣"}
_BYTES = re.compile(r"(<0x[0-9A-F]{2}>)+")
_UNIT = re.compile(r"<0x[0-9A-F]{2}>|.", re.DOTALL)
_NUMBERS = "₁₂₃₄"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def visible(text: str, special: bool = False) -> str:
    """``text`` with every character one that prints as itself in one or two columns.

    A space is ``·``, newline ``⏎``, tab ``⇥``; control characters are their Unicode pictures; combining marks,
    joiners, bidirectional controls, surrogates and emoji of uncertain width are written as ``<U+0301>``.
    A special token (``<|bos|>``) is written ``⟨bos⟩``.
    """
    if special or (text.startswith("<|") and text.endswith("|>")):
        text = text.strip("<|>[]") or text
        return f"⟨{''.join(map(_printable, text))}⟩"
    return "".join(map(_printable, text)) or "∅"


def plain(text: str) -> str:
    """A sentence with names from outside in it, on one line: as it is, but for what a terminal might obey or draw in
    other than one or two columns."""
    return "".join(char if char == " " else _printable(char) for char in text)


def in_words(text: str, special: bool = False) -> str:
    """A token as a sentence can name it: ``·Paris``; in quotes what has no letter in it and would read as a number or
    a sign of the sentence itself: ``"9"``, ``"·+"``."""
    shown = visible(text, special)
    return shown if any(map(str.isalpha, text)) else f'"{shown}"'


def against(answers: Sequence[str], distractors: Sequence[str]) -> str:
    """Both sides of a target, their tokens already in words: ``·her − ·h``, ``"9" vs "2"`` where a minus could be read
    as arithmetic; several tokens of a side are averaged."""
    sides = [", ".join(side) for side in (answers, distractors) if side]
    return (" vs " if any('"' in side for side in sides) else " − ").join(sides)


def _printable(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if 0x20 < code < 0x7F:
        return char
    category = unicodedata.category(char)
    if category[0] in "CMZ" or not _has_firm_width(code, char):
        return _REPLACEMENT if category == "Cs" else f"<U+{code:04X}>"
    return char


def _has_firm_width(code: int, char: str) -> bool:
    """Whether terminals agree on the width: emoji in the Basic Multilingual Plane and Thai-like scripts are not."""
    return not (unicodedata.east_asian_width(char) in "WF" and 0x2000 <= code < 0x2E80)


def is_byte(text: str) -> bool:
    """Whether this is ``<0xE2>``: a token that is part of a character and so has no text of its own."""
    return _BYTES.fullmatch(text) is not None


def in_order(texts: Sequence[str]) -> tuple[str, ...]:
    """Tokens as they follow one another in a text: bytes that are one character together are that character, each with
    its number in it, ``東₁ 東₂ 東₃``. Bytes that are none stay ``<0xE6>``."""
    out: list[str] = []
    for has_bytes, grouped in groupby(texts, lambda text: "<0x" in text):
        run = list(grouped)
        out += _numbered(run) if has_bytes else run
    return tuple(out)


def _numbered(texts: Sequence[str]) -> list[str]:
    """Tokens in a row that have bytes in them, with the characters that these make."""
    units = [(place, unit) for place, text in enumerate(texts) for unit in _UNIT.findall(text)]
    out, at = [""] * len(texts), 0
    while at < len(units):
        char, count = _character(units, at)
        places = list(dict.fromkeys(place for place, _ in units[at : at + count]))
        for number, place in enumerate(places):
            out[place] += char + (_NUMBERS[number] if len(places) > 1 else "")
        at += count
    return out


def _character(units: Sequence[tuple[int, str]], at: int) -> tuple[str, int]:
    """The character that begins at a unit, and of how many units it is."""
    if not is_byte(units[at][1]):
        return units[at][1], 1
    raw = b""
    for unit in (unit for _, unit in units[at : at + len(_NUMBERS)]):
        if not is_byte(unit):
            break
        raw += bytes([int(unit[3:5], 16)])
        try:
            return raw.decode("utf-8"), len(raw)
        except UnicodeDecodeError:
            continue
    return units[at][1], 1


def narrow(text: str) -> str:
    """What tells a byte from its neighbours in a column or two: ``₁`` of ``東₁``, ``E6`` of ``<0xE6>``; other texts as
    they are."""
    if is_byte(text) and text.count("<") == 1:
        return text[3:5]
    return text[-1] if len(text) > 1 and text[-1] in _NUMBERS else text


def width(text: str) -> int:
    """Terminal columns of text that ``visible`` made safe."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def fitting(text: str, columns: int, lines: int, between: str = "") -> str:
    """A sentence in so many lines, broken between words; what is too much ends in ``…``. ``between``: what stands
    between its parts, which then go whole, the last first."""
    first, *words = text.split(" ")
    out = [first]
    parts = text.split(between) if between else []
    for word in words:
        if width(out[-1]) + 1 + width(word) > columns:
            out.append(word)
        else:
            out[-1] += f" {word}"
    if len(out) <= lines and all(width(line) <= columns for line in out):
        return "\n".join(out)
    if len(parts) > 1:
        return fitting(between.join(parts[:-1]), columns, lines, between)
    *before, last = out[:lines]
    rest = " ".join((last, *out[lines:]))
    return "\n".join(shorten(line, columns) for line in (*before, rest))


def shorten(text: str, columns: int) -> str:
    """``text`` in at most ``columns`` columns, cut in the middle of a word with ``…`` at the end."""
    if columns <= 0:
        return ""
    if width(text) <= columns:
        return text
    out, used = "", 0
    for char in text:
        step = width(char)
        if used + step > columns - 1:
            break
        out, used = out + char, used + step
    return out + "…"


_FIELD = {code: 0x2400 + code for code in range(0x20)} | {0x0A: ord("⏎"), 0x09: ord("⇥"), 0x7F: ord("␡")}
_FIELD |= {code: 0xE000 + code for code in range(0x80, 0xA0)}
_PROMPT = {picture: code for code, picture in _FIELD.items()}


def field_text(prompt: str) -> str:
    """A prompt as a one-line field can hold it: control characters, newline and tab as their pictures."""
    return prompt.translate(_FIELD)


def prompt_text(field: str) -> str:
    """The prompt that a field's text stands for: the inverse of ``field_text``, so ``⏎`` is a newline."""
    return field.translate(_PROMPT)
