"""Where files go that the app writes: what was exported and figures beside where it was started, copies in its own
folder. Each answers with the sentence that says so.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import clipboard, pages
from .config import state_directory
from .figures import About, Missing, encoded
from .framing import FigureLook
from .messages import CopyWanted, ExportWanted, FigureWanted
from .sharing import stem

FOLDER = "copied"


@dataclass(frozen=True)
class Outcome:
    """What to say of a file that was wanted."""

    sentence: str
    good: bool = False
    sequence: str = ""
    """What is to be written to the terminal."""


def export(wanted: ExportWanted) -> Outcome:
    """Write the shown result beside where the app was started, under a name that is not taken."""
    from .export import write

    s = wanted.selection
    if s.model is None:
        return Outcome("no model is there yet")
    path, ending = Path(f"circuit-tui-{stem(s)}"), wanted.form
    try:
        free = next(p for p in _names(path, ending) if not p.exists())
        written = write(wanted.result, free, s.model, pages.of(s).tokens(s), s.text)
    except OSError as problem:
        return _unwritten(path.with_name(f"{path.name}.{ending}"), problem)
    except ValueError as problem:
        return Outcome(f"no {ending.upper()}: {problem}")
    return Outcome(f"written: {written}", good=True)


def figure(wanted: FigureWanted) -> Outcome:
    """Write a figure there. It takes a second, and matplotlib half a second more the first time."""
    from .export import save

    s = wanted.selection
    if s.model is None:
        return Outcome("no model is there yet")
    look = s.look(FigureLook)
    path, ending = Path(f"circuit-tui-{stem(s)}" + ("-row" if len(look.heads) > 1 else "")), wanted.form
    try:
        about = About(s.model, pages.of(s).tokens(s), s.text)
        data = encoded(wanted.results, ending, look, about, wanted.titles)
        free = next(p for p in _names(path, ending) if not p.exists()).absolute()
        save(data, free)
    except Missing as missing:
        return Outcome(str(missing))
    except ValueError as problem:
        return Outcome(f"no figure: {problem}")
    except OSError as problem:
        return _unwritten(path.with_name(f"{path.name}.{ending}"), problem)
    return Outcome(f"written: {free} ({look.width:g} × {look.height:g} cm)", good=True)


def copied(wanted: CopyWanted, environ: Mapping[str, str] | None = None) -> Outcome:
    """Keep a copy in the app's own folder, and have it sent to the terminal if it takes so much."""
    from .export import save

    path, size = state_directory() / FOLDER / wanted.name, clipboard.size(wanted.text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        save(wanted.text.encode("utf-8", "backslashreplace"), path)
        kept = f"it is in {path}"
    except OSError as problem:
        kept = f"{path} could not be written: {problem.strerror or problem}"
    sequence = clipboard.sequence(wanted.text, os.environ if environ is None else environ)
    if not sequence:
        most = clipboard.MOST // 1000
        return Outcome(f"{wanted.what}: {size} are too much for a terminal's clipboard ({most} kB at most); {kept}")
    return Outcome(f"{wanted.what} sent to the terminal's clipboard, {size}; {kept}", True, sequence)


def _unwritten(path: Path, problem: OSError) -> Outcome:
    why = problem.strerror or problem
    return Outcome(f"{path.absolute()} could not be written: {why}. Start circuit-tui in a folder with room that you "
                   "may write to.")  # fmt: skip


def _names(stem: Path, ending: str) -> Iterator[Path]:
    yield stem.with_name(f"{stem.name}.{ending}")
    for number in itertools.count(2):
        yield stem.with_name(f"{stem.name}-{number}.{ending}")
