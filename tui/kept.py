"""The circuits that were put together, kept for their model beside the notes: ``NAME-FINGERPRINT.circuit.txt``, one
head, MLP or edge a line, each circuit after ``[its name]``, the one that was shown last first.
"""

from __future__ import annotations

from pathlib import Path

from . import atomic, notes
from .names import Circuit, circuits_at
from .results import ModelKey

FIRST = "circuit"
"""The name of a circuit that nobody has named."""


def path_of(key: ModelKey, name: str) -> Path:
    """Where the circuits of a model are, or will be."""
    return notes.notes_file(key, name).with_suffix(".circuit.txt")


def read(key: ModelKey, name: str) -> tuple[dict[str, Circuit], str]:
    """The circuits that were kept, and what is wrong with their file: a sentence, empty if nothing is."""
    path = path_of(key, name)
    try:
        text = path.read_text("utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        return {}, f"{path} cannot be read ({_reason(error)})."
    found = circuits_at(text)
    if isinstance(found, str):
        return {}, f"{path}, {found}."
    return {name or FIRST: circuit for name, circuit in found.items()}, ""


def write(key: ModelKey, name: str, called: str, circuit: Circuit | None) -> str:
    """Keep a circuit, before the others in the file, which stay as they are; None: it is no longer kept. Empty, or a
    sentence: that nothing could be kept, or where a file that could not be read is now."""
    path, (others, broken) = path_of(key, name), read(key, name)
    others.pop(called, None)
    circuits = others if circuit is None else {called: circuit, **others}
    lines = [f"# {' '.join(name.split())}"]
    for at, (other, there) in enumerate(circuits.items()):
        lines += [*([f"[{other}]"] if at or other != FIRST else []), *there.lines()]
    aside = notes.unused(path)
    try:
        data = "".join(f"{line}\n" for line in lines).encode()
        atomic.write(path, data, first=(lambda: path.rename(aside)) if broken else None)
    except OSError as error:
        return f"The circuit cannot be kept in {path} ({_reason(error)}): make room for it there."
    return f"{broken} It is now {aside.name}, and a new one is in its place." if broken else ""


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
