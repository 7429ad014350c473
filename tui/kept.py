"""The circuit that was put together, kept for its model beside the notes: ``NAME-FINGERPRINT.circuit.txt``, one head or
MLP a line, as ``export circuit`` reads it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from . import notes
from .names import circuit_at
from .results import ModelKey


def path_of(key: ModelKey, name: str) -> Path:
    """Where the circuit of a model is, or will be."""
    return notes.notes_file(key, name).with_suffix(".circuit.txt")


def read(key: ModelKey, name: str) -> tuple[tuple[str, ...], str]:
    """The parts of the circuit that was kept, and what is wrong with its file: a sentence, empty if nothing is."""
    path = path_of(key, name)
    try:
        text = path.read_text("utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        return (), f"{path} cannot be read ({_reason(error)})."
    found = circuit_at(text)
    return ((), f"{path}, {found}.") if isinstance(found, str) else (found, "")


def write(key: ModelKey, name: str, parts: tuple[str, ...]) -> str:
    """Keep a circuit; empty, or a sentence: that it could not be kept."""
    path = path_of(key, name)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch.write_text("".join(f"{line}\n" for line in (f"# {' '.join(name.split())}", *parts)), "utf-8")
        scratch.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        return f"The circuit cannot be kept in {path} ({_reason(error)}): make room for it there."
    return ""


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
