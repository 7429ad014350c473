"""Where models are on this machine: those opened before, the checkpoints of a run, the hub's cache, folders below.

``$XDG_STATE_HOME/circuit-tui/models.jsonl`` has those that were opened, the last one last.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import atomic, config, label
from .label import Label

KEPT = 30
"""Models that are remembered."""
DEPTH, FOLDERS, FOUND, SECONDS = 4, 5000, 200, 20.0
"""Bounds of the walk below a folder: levels, folders looked into, models, time."""
RECENT, HUB, SHIPPED = "opened before", "hub cache", "ships inside"
_STEP = re.compile(r"(?:(?:checkpoint|ckpt|global_step|step|epoch|iter)[-_]?)?(\d+)")
_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "proc", "sys", "dev"})


@dataclass(frozen=True)
class Opened:
    """A model that was opened once."""

    source: str
    name: str
    folder: str


def recent() -> list[Opened]:
    """The models opened before, the last one first; lines that cannot be read are left out."""
    try:
        lines = _file().read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    out = []
    for line in reversed(lines):
        with contextlib.suppress(ValueError, TypeError):
            opened = Opened(**json.loads(line))
            if all(isinstance(value, str) and value for value in vars(opened).values()):
                out.append(opened)
    return list({opened.folder: opened for opened in reversed(out)}.values())[::-1][:KEPT]


def lasting(source: str, folder: str) -> str:
    """What opens a model in another run too: its folder where ``source`` depends on where the program was started."""
    return folder if source.startswith(("/", ".", "~")) or Path(source).expanduser().is_dir() else source


def remember(source: str, name: str, folder: str) -> bool:
    """Keep a model that was opened, before all others. False, and nothing half-written, where there is no room."""
    kept = [opened for opened in recent() if opened.folder != folder]
    lines = [json.dumps(vars(opened)) for opened in [*kept[: KEPT - 1][::-1], Opened(source, name, folder)]]
    try:
        atomic.write(_file(), "".join(f"{line}\n" for line in lines).encode())
    except OSError:
        return False
    return True


def look(here: Path, opened: str = "") -> Iterator[Label]:
    """Every model, one by one as it is found, none twice. ``opened``: the folder of the model that is open."""
    seen: set[str] = set()
    for made in (_recent(), _runs(here, opened), hub_cache(), folders_below(here)):
        for one in made:
            real = os.path.realpath(one.folder)
            if real not in seen:
                seen.add(real)
                yield one


def _recent() -> Iterator[Label]:
    for opened in recent():
        folder = Path(opened.folder)
        if folder.is_dir():  # what is gone cannot be opened
            group = SHIPPED if opened.source == "demo" else RECENT
            yield label.read(folder, opened.source, opened.name, group)


def _runs(here: Path, opened: str) -> Iterator[Label]:
    """Checkpoints of the run that is open, and of this folder."""
    if opened:
        folder = Path(opened)
        yield from checkpoints(folder.parent if step_of(folder.name) is not None else folder)
    yield from checkpoints(here)


def checkpoints(run: Path) -> list[Label]:
    """The checkpoints that a run has saved, by step."""
    found = []
    for name in _names(run):
        step = step_of(name)
        if step is not None and label.is_model(run / name):
            found.append((step, name))
    return [label.read(run / name, str(run / name), name, f"checkpoints of {run.name}") for _, name in sorted(found)]


def hub_cache(folder: Path | None = None) -> Iterator[Label]:
    """Models in the hub's cache; nothing where there is none."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repos = scan_cache_dir(folder).repos
    except (CacheNotFound, OSError, ValueError):
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        revisions = sorted(repo.revisions, key=lambda revision: ("main" in revision.refs, revision.last_modified))
        if repo.repo_type != "model" or not revisions:
            continue
        newest = revisions[-1]
        if label.is_model(newest.snapshot_path):
            source = repo.repo_id if "main" in newest.refs else str(newest.snapshot_path)
            yield label.read(newest.snapshot_path, source, repo.repo_id, HUB)


def folders_below(here: Path, seconds: float = SECONDS) -> Iterator[Label]:
    """Folders in and below this one that hold a model, level by level. Bounded; links are not followed."""
    until, waiting, looked, found = time.monotonic() + seconds, [(here, 0)], 0, 0
    while waiting and looked < FOLDERS and found < FOUND and time.monotonic() < until:
        folder, depth = waiting.pop(0)
        looked += 1
        if label.is_model(folder):
            found += 1
            name = "this folder" if folder == here else str(folder.relative_to(here))
            yield label.read(folder, str(folder), name, f"below {here.name or here}")
        if depth < DEPTH:
            waiting += [(folder / name, depth + 1) for name in _folders(folder)]


def matching(labels: Iterable[Label], text: str) -> list[Label]:
    """Those that have every word in name, architecture or place."""
    words = text.lower().split()
    return [one for one in labels if all(word in f"{one.name} {one.architecture} {one.group}".lower()
                                         for word in words)]  # fmt: skip


def step_of(name: str) -> int | None:
    """The step of a run's checkpoint by the name of its folder; None for a name like ``gemma2``, which is none."""
    found = _STEP.fullmatch(name)
    return int(found[1]) if found else None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and entry.name not in _SKIPPED
                and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []


def _file() -> Path:
    return config.state_directory() / "models.jsonl"
