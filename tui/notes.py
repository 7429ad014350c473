"""A user's notes on heads and bookmarks of them, kept per model between runs.

``$XDG_STATE_HOME/circuit-tui/notes/NAME-FINGERPRINT.json`` (weights replaced on disk are another model)::

    {"model": "demo", "notes": [{"head": "L0H2", "text": "country → capital", "bookmarked": true}]}

Notes are written one by one into what the file holds then, so that two windows on one model do not undo each other. The
file is written whole or not at all. One that cannot be read is never written over: before the next note is kept it is
moved aside, to a name that no file has.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from . import atomic, config
from .results import Header, ModelKey, Table

COLUMNS = ("head", "bookmarked", "note")
_HEAD = re.compile(r"L(0|[1-9][0-9]{0,5})H(0|[1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Note:
    """What a user wrote of a head."""

    head: str
    """``L10H2``."""
    text: str
    """Empty: the head is bookmarked and nothing more."""
    bookmarked: bool

    def __post_init__(self) -> None:
        if not _HEAD.fullmatch(self.head):
            raise ValueError(f"{self.head!r} is not a head such as L10H2")


def read(key: ModelKey, name: str) -> tuple[dict[str, Note], str]:
    """The notes on a model, by head, and what is wrong with their file: a sentence, empty if nothing is."""
    path = notes_file(key, name)
    try:
        return _parse(path), ""
    except (OSError, ValueError) as error:
        return {}, f"{path} cannot be read ({_reason(error)}). Mend it, or it is moved aside when a note is kept."


def write(key: ModelKey, name: str, *notes: Note) -> str:
    """Keep notes in place of those on the same heads; one without text and bookmark is taken away.

    Empty, or a sentence: that they could not be kept, and then nothing has changed, or where a file that could not be
    read is now.
    """
    path = notes_file(key, name)
    try:
        kept, broken = _parse(path), ""
    except (OSError, ValueError) as error:
        kept, broken = {}, _reason(error)
    kept |= {note.head: note for note in notes}
    entries = [asdict(note) for note in in_order(kept) if note.text or note.bookmarked]
    aside = unused(path)
    try:
        data = json.dumps({"model": name, "notes": entries}, indent=1).encode("ascii")
        atomic.write(path, data, first=(lambda: path.rename(aside)) if broken else None)
    except OSError as error:
        return f"The note cannot be kept in {path} ({_reason(error)}): make room for it there, or export your notes."
    if not broken:
        return ""
    return f"{path} could not be read ({broken}). It is now {aside.name}, and new notes are in its place."


def as_table(notes: Mapping[str, Note]) -> Table:
    """Notes by layer and head, as they are exported."""
    header = Header("notes", "notes on heads", "as written by the user", explanation="row = head, by layer and head")
    return Table(header, COLUMNS, tuple((note.head, note.bookmarked, note.text) for note in in_order(notes)))


def in_order(notes: Mapping[str, Note]) -> list[Note]:
    """By layer and head."""
    return sorted(notes.values(), key=lambda note: [int(number) for number in note.head[1:].split("H")])


def notes_file(key: ModelKey, name: str) -> Path:
    """Where the notes on a model are, or will be."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60].strip("._") or "model"
    return config.state_directory() / "notes" / f"{safe}-{key.fingerprint}.json"


def _parse(path: Path) -> dict[str, Note]:
    """What a file holds; nothing where there is none. ValueError says what is wrong with it.

    Entries that are not known are an error too, since they would be lost: a newer version of the app may have them.
    """
    if not path.exists():
        return {}
    if not path.is_file():  # to open a pipe would wait for ever
        raise ValueError("it is not a file")
    try:
        document = json.loads(path.read_text("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not _has(document, model=str, notes=list):
        raise ValueError("it is not an object of a model and its notes")
    notes: dict[str, Note] = {}
    for number, entry in enumerate(document["notes"], 1):
        if not _has(entry, head=str, text=str, bookmarked=bool):
            raise ValueError(f"note {number} is not an object of head, text and bookmarked")
        note = Note(**entry)
        if note.head in notes:
            raise ValueError(f"there are two notes on {note.head}")
        notes[note.head] = note
    return notes


def _has(value: object, **types: type) -> bool:
    """Whether this is an object with exactly these entries."""
    return (
        isinstance(value, dict)
        and value.keys() == types.keys()
        and all(isinstance(value[name], kind) for name, kind in types.items())
    )


def unused(path: Path) -> Path:
    """A name beside a file that nothing has."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}.unread-{number}{path.suffix}")):
        number += 1
    return aside


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
