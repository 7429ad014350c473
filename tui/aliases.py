"""Short words for what is typed after ``:``, those that come with the app and a user's own. Pure functions of text."""

from __future__ import annotations

import re
from collections.abc import Mapping

OWN: Mapping[str, str] = {"h": "head", "pos": "position"}
"""Those that come with the app."""
DEEPEST = 8
"""An alias may stand for another one, so many times."""
_NAME = re.compile(r"[A-Za-z][\w-]*")
_NUMBERS = re.compile(r"[-−\d,\s]+")


def problem(aliases: Mapping[str, object]) -> str:
    """What is wrong with a user's aliases: a sentence, empty if nothing is."""
    for name, text in aliases.items():
        if not _NAME.fullmatch(name):
            return f"the alias {name!r} must be one word that begins with a letter."
        if not isinstance(text, str) or not text.strip():
            return f'the alias {name} must stand for what is typed after ":", such as "prompts facts.json".'
        if expanded(name, {key: str(value) for key, value in aliases.items()}) is None:
            return f"the alias {name} stands for itself in the end: let it stand for a command."
    return ""


def expanded(text: str, aliases: Mapping[str, str]) -> str | None:
    """What a text stands for, what follows the alias kept behind it; the text itself where it begins with no alias.
    None: the aliases go round in a circle."""
    known = {**OWN, **aliases}
    for _ in range(DEEPEST):
        word, _, rest = text.strip().partition(" ")
        if word not in known:
            return _in_words(text)
        text = f"{known[word]} {rest}".strip()
    return None


def _in_words(text: str) -> str:
    """``head 10 2`` is ``10 2``, ``position 12`` is ``12`` and ``position France`` is ``find France``."""
    word, _, rest = text.strip().partition(" ")
    if not rest.strip():
        return text
    if word.lower() == "head":
        return rest.strip()
    if word.lower() == "position":
        return rest.strip() if _NUMBERS.fullmatch(rest) else f"find {rest.strip()}"
    return text
