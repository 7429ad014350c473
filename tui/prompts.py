"""Files of prompts: one prompt a line, or JSON lines with ``prompt``, ``answer`` and ``distractor``.

A file whose first line with anything on it begins with ``{`` is JSON lines. ``answer`` and ``distractor`` are a word or
a list of words; both may be left out. In plain text every line that is not blank is a prompt, as it stands.
"""

from __future__ import annotations

import json
from pathlib import Path

from .engine.jobs import PromptRow

LINES, BYTES = 100_000, 64 << 20
"""Most that a file may have: beyond, it is a data set, not a list of prompts to look at."""
KEYS = ("prompt", "answer", "distractor")


class PromptsError(ValueError):
    """What is wrong with a file of prompts, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read(path: str | Path) -> tuple[PromptRow, ...]:
    """The prompts of a file, at least one. PromptsError says what is wrong, with the line's number."""
    lines = _text(path).removesuffix("\n").split("\n")
    if len(lines) > LINES:
        raise PromptsError(f"{path} has {len(lines):,} lines.", f"Use a file of at most {LINES:,}.")
    numbered = [(number, line.rstrip("\r")) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise PromptsError(f"There is no prompt in {path}.", "Write one a line.")
    if not numbered[0][1].lstrip().startswith("{"):
        return tuple(PromptRow(line) for _, line in numbered)
    return tuple(_row(f"Line {number} of {path}", line) for number, line in numbered)


def _text(path: str | Path) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            raw = file.read(BYTES + 1)  # no more: a device never ends
    except (OSError, ValueError, RuntimeError) as error:  # also what no path can be, and a home that nobody has
        why = getattr(error, "strerror", None) or error
        raise PromptsError(f"{path} could not be read: {why}.", "Give the path of a text file.") from None
    if len(raw) > BYTES:
        raise PromptsError(f"{path} is larger than {BYTES >> 20} MB.", "Use a part of it.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PromptsError(f"{path} is not text in UTF-8.", "Save it as UTF-8.") from None


def _row(where: str, line: str) -> PromptRow:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        at = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
        raise PromptsError(f"{where} is not JSON: {at}.", "Write one object a line.") from None
    if not isinstance(values, dict):
        raise PromptsError(f"{where} is no JSON object.", 'Write {"prompt": "…", "answer": "…"}.')
    unknown = [name for name in values if name not in KEYS]
    if unknown:
        raise PromptsError(f"{where} has a key {unknown[0]!r}.", f"Keys are {', '.join(KEYS)}.")
    text = values.get("prompt")
    if not isinstance(text, str) or not text:
        raise PromptsError(f"{where} has no prompt.", 'Write {"prompt": "…"}, a text that is not empty.')
    answer, distractor = (_words(where, name, values.get(name)) for name in ("answer", "distractor"))
    if distractor and not answer:
        raise PromptsError(f"{where} has a distractor and no answer.", "Give both, or the answer alone.")
    return PromptRow(text, answer, distractor)


def _words(where: str, name: str, value: object) -> str:
    given = value if isinstance(value, list) else [] if value is None else [value]
    words = [word.strip() for word in given if isinstance(word, str)]
    if len(words) < len(given) or not all(words):
        raise PromptsError(f"{where}: {name} must be a word or a list of words.", "Leave it out where there is none.")
    return ", ".join(words)
