"""Sessions: what a user chose, kept between runs as one readable JSON file, or sent to a colleague.

::

    {"circuit-tui session": 1, "saved": "2026-11-30 03:41", "model": {"source": "demo", …},
     "selection": {"is": "Selection", "page": "qk", "layer": 1, "stack": […], "looks": […]}, "trail": …, "pinned": …}

Everything in it is checked against the types that it is made of (``plain``) before anything is done with it. It names
tokens by id, but neither the model's folder nor its device: the model that is open takes their place. Nothing that
was computed is in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from . import config, needs, pages, prompts, selection
from .choices import bare, graft
from .contrast import here_on
from .engine import jobs
from .page import offered
from .results import ModelInfo, ModelKey, Tokens
from .selection import Selection
from .spelling import Spelling
from .text import plain, shorten, visible
from .trail import place

VERSION = 1
MARK = "circuit-tui session"
"""The entry by which a file is known, and its version."""
MOST = 64 << 20
"""Bytes of a file that is read."""
PLACES = 50
"""Places of the trail that are kept, each way."""
NAME = re.compile(r"[\w][\w .-]{0,59}")
_NOBODY = ModelKey("", "", "", "")


class Unreadable(ValueError):
    """Why a session cannot be opened: one sentence, whatever names and values the file has in it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(plain(sentence))


@dataclass(frozen=True)
class Kept:
    """A session as it was read: not yet on any model."""

    path: Path
    document: Mapping[str, Any] = field(repr=False)
    saved: str = ""
    source: str = "demo"
    """The model as it was asked for."""
    model: str = ""
    """Its name."""
    fingerprint: str = ""
    vocabulary: str = ""
    difference: bool = False
    """Whether the difference to what is pinned is shown."""

    def on(self, key: ModelKey) -> tuple[Selection, Selection | None, tuple[list[Selection], list[Selection]]]:
        """What was chosen, what was pinned, and the trail, on a model. Unreadable where that cannot be."""
        references = self.document.get("references", {})
        if not isinstance(references, dict):
            raise Unreadable("references: wanted a table")
        read = Spelling(key, references).read
        try:
            chosen = read("selection", self.document.get("selection"), Selection)
            pinned = read("pinned", self.document.get("pinned"), Selection | None)
            back, ahead = read("trail", self.document.get("trail", [[], []]), tuple[list[Selection], list[Selection]])
        except ValueError as error:
            raise Unreadable(str(error)) from None
        every = [chosen, *filter(None, [pinned]), *back, *ahead]
        for one in every:
            if one.page not in {page.name for page in pages.every()}:
                raise Unreadable(f"there is no page “{shorten(visible(one.page), 30)}”")
        return bare(chosen), pinned and bare(pinned), (back[-PLACES:], ahead[-PLACES:])


# --- written -------------------------------------------------------------------------------------------------------


def written(
    s: Selection,
    pinned: Selection | None = None,
    difference: bool = False,
    trail: tuple[list[Selection], list[Selection]] = ([], []),
    now: datetime | None = None,
) -> bytes:
    """A session as it is kept. ``s.model`` must be there; ``difference``: whether that to what is pinned is shown."""
    model = s.model
    assert model is not None
    spelling = Spelling(model.key)
    if pinned is not None and pinned.key != model.key:
        pinned = None  # of another model, as it was computed
    document = {
        MARK: VERSION,
        "saved": (now or datetime.now()).strftime("%Y-%m-%d %H:%M"),
        "model": {"source": s.open.source, "name": model.name, "fingerprint": model.key.fingerprint,
                  "vocabulary": model.vocabulary},
        "selection": spelling.write(_placed(bare(s))),
        "pinned": pinned and spelling.write(_placed(bare(pinned))),
        "difference to pinned": difference and pinned is not None,
        "trail": [[spelling.write(place(bare(one))) for one in way[-PLACES:]] for way in trail],
        "references": spelling.references,
    }  # fmt: skip
    document = {name: value for name, value in document.items() if value or name == MARK}
    text = json.dumps(document, ensure_ascii=False, indent=1)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # half a character in a prompt
        return f"{json.dumps(document, indent=1)}\n".encode()


def _placed(s: Selection) -> Selection:
    """With the whole path of the file of prompts, so that the session opens from any folder."""
    if s.file is None:
        return s
    path = os.path.abspath(s.file.path) if os.path.isfile(s.file.path) else s.file.path
    return replace(s, file=replace(s.file, path=path, rows=()))


# --- read ----------------------------------------------------------------------------------------------------------


def read(path: str | Path) -> Kept:
    """A session file, checked. Unreadable says what is wrong with it."""
    path = Path(path).expanduser()
    try:
        return _parsed(path)
    except Unreadable as error:
        raise Unreadable(f"{path} is no session that could be opened: {error}.") from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror}).") from None


def _parsed(path: Path) -> Kept:
    if path.exists() and not path.is_file():  # to open a pipe would wait for ever
        raise Unreadable("it is a folder" if path.is_dir() else "it is not a file")
    with path.open("rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise Unreadable(f"it has more than {MOST >> 20} MB")
    try:
        document = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"it is not JSON ({error})") from None
    version = document.get(MARK) if isinstance(document, dict) else None
    if version is None:
        raise Unreadable(f"it has no entry “{MARK}”")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise Unreadable("its version is no number")
    if version > VERSION:
        raise Unreadable(f"a newer circuit-tui wrote it (version {version}; this one reads {VERSION}): update this one")
    model = document.get("model")
    if not isinstance(model, dict):
        raise Unreadable("it names no model")
    kept = Kept(path, document, _text(document, "saved"), _text(model, "source") or "demo", _text(model, "name"),
                _text(model, "fingerprint"), _text(model, "vocabulary"),
                document.get("difference to pinned") is True)  # fmt: skip
    kept.on(_NOBODY)
    return kept


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str) or len(value) > 4000 or not value.isprintable():
        raise Unreadable(f"its {name} is no text")
    return value


# --- on a model that is open ---------------------------------------------------------------------------------------


def restored(here: Selection, kept: Kept, wanted: Selection) -> tuple[Selection, str]:
    """What of it can be on the model that is open in ``here``, with the rows of its file, and what to say of what
    cannot. Unreadable where nothing can be shown of it."""
    model, said = here.model, []
    assert model is not None
    if kept.vocabulary != model.vocabulary:
        wanted = _without_ids(wanted)
        said.append(f"it was saved on a model with another vocabulary ({kept.model}): without its changes and answers.")
    elif kept.fingerprint != model.key.fingerprint and kept.model == model.name:
        said.append(f"{model.name} had other weights then.")
    elif kept.fingerprint != model.key.fingerprint:
        said.append(f"it was saved on another model, {kept.model}.")
    if wanted.file is not None:
        try:
            wanted = replace(wanted, file=_reread(wanted.file, kept.path.parent))
        except prompts.PromptsError as error:
            said.append(f"Without its file of prompts: {error.message}")
            wanted = replace(wanted, file=None)
    if why := _impossible(graft(here, wanted)):
        raise Unreadable(f"{kept.path} cannot be shown: {why}.")
    return wanted, " ".join(said)


def _without_ids(s: Selection) -> Selection:
    looks = [look.for_model() for look in s.looks]
    return s.put(*looks, answer=None, stack=(), contrast="changed", pair=s.pair and selection.Pair(s.pair.text))


def _reread(file: selection.File, beside: Path) -> selection.File:
    """The rows of a file of prompts, from where it was or from beside the session."""
    mapped = prompts.parse_fields(file.fields) if file.fields else {}
    path = file.path
    if not Path(path).expanduser().is_file() and (beside / file.name).is_file():
        path = str(beside / file.name)
    rows = prompts.read(path, mapped).rows
    return replace(file, path=path, rows=rows, at=max(0, min(file.at, len(rows) - 1)))


def _impossible(s: Selection) -> str:
    """Why some page cannot draw a selection that was read: values that no key makes, such as a grid that is none."""
    for page in pages.every():
        there = replace(s, page=page.name, tokens=_SOME, tokens_of=needs.tokenizing(s))
        try:
            there = selection.settle(page.settled(there))
            needs.needs(there, _unknown)
            page.words(there), page.cell(there), page.token_cell(there)
            for option in page.options:
                option.place(there)
            for panel in offered(page, there):
                panel.title(here_on(page, there, _unknown))
        except Exception as error:  # whatever a value does that no key makes
            return f"it has a value that no key makes ({type(error).__name__}: {shorten(visible(str(error)), 60)})"
    return ""


def _unknown(job: jobs.Job) -> None:
    """Nothing is computed yet."""


_SOME = Tokens((0, 0), (" a", " b"), (False, False), False)


# --- where sessions are kept ---------------------------------------------------------------------------------------


def folder() -> Path:
    """Where sessions save themselves; those with a name are in ``named`` below it."""
    return config.state_directory() / "sessions"


def of_model(model: ModelInfo) -> Path:
    """Where the session on a model saves itself."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", model.name)[:60].strip("._") or "model"
    return folder() / f"{safe}-{model.key.fingerprint}.json"


def of_name(name: str) -> Path:
    """Where a session with a name is kept. Unreadable for what is no name."""
    if not NAME.fullmatch(name):
        raise Unreadable(f"“{shorten(visible(name), 40)}” is no name: letters, digits, blanks, dots and dashes are")
    return folder() / "named" / f"{name}.json"


def listed() -> list[tuple[str, Path]]:
    """The sessions that can be opened by a name, the latest first: those with one, and what was there before a session
    that began afresh."""
    found = [(path.stem, path) for path in folder().glob("named/*.json")]
    found += [(path.stem, path) for path in folder().glob("*.before.json")]
    return sorted(found, key=lambda one: (-_time(one[1]), one[0]))


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
