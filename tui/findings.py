"""What ``circuit-tui doctor`` finds: one line about each thing, and one command or step where something is missing."""

from __future__ import annotations

import importlib.metadata
import locale
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import config, remapping, terminal
from .probe import Answer

State = Literal["ok", "note", "wrong"]
"""``note``: it works, but something is worth knowing; ``wrong``: something that was asked for does not."""

LITTLE_ROOM = 100 << 20
"""Bytes below which a disk is as good as full: a log and some exports."""
SCAN_SECONDS = 2.0
"""How long the hub's cache is added up."""
BUILDS = (("13", "cu130"), ("12", "cu126"), ("11", "cu118"))
"""CUDA of a driver → the build of torch that it serves, newest first."""
BESIDE = ("transformers", "tokenizers", "safetensors", "huggingface_hub")
"""Packages whose versions decide what a model loads like, beside those that are required by name."""


@dataclass(frozen=True)
class Finding:
    """One line."""

    name: str
    value: str
    state: State = "ok"
    repair: str = ""
    """What works: a command, or a step."""


# --- terminal -------------------------------------------------------------------------------------------------------


def on_terminal(environ: Mapping[str, str], answer: Answer | None) -> Iterator[Finding]:
    """``answer`` is what the terminal said of itself; None where it was not asked."""
    term = environ.get("TERM", "")
    if term.strip().lower() in terminal.CANNOT_DRAW:
        yield Finding("TERM", term or "not set", "wrong", "export TERM=xterm-256color")
    elif _has_terminfo(term):
        yield Finding("TERM", term)
    else:
        value = f"{term}, which this machine has no terminfo of: circuit-tui needs none, tmux does"
        yield Finding("TERM", value, "note", "on your own machine: infocmp -x | ssh HOST tic -x -")
    within = [name for name, variable in (("tmux", "TMUX"), ("screen", "STY")) if variable in environ]
    yield Finding("inside", ", ".join(within) or "no tmux, no screen")
    if terminal.over_ssh(environ):
        yield Finding("ssh", "yes: fewer frames, no animations")
    if answer is not None:
        yield Finding("name", answer.name or "it does not say")
    yield _size()
    yield _colours(environ, answer)
    yield _encoding(environ)
    yield _clipboard(environ, answer)


def _has_terminfo(term: str) -> bool:
    """Whether ncurses knows the name here. Python's own curses looks it up once a process, whatever name comes next."""
    if not shutil.which("infocmp"):
        return True  # nothing is known of it
    return not term.startswith("-") and _run("infocmp", term) is not None


def _run(*command: str) -> str | None:
    """What a command prints; None where it fails or there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2, errors="replace")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _size() -> Finding:
    columns, rows = shutil.get_terminal_size((0, 0))
    if not columns:
        return Finding("size", "unknown: this is no terminal", "note", "run it in the terminal that circuit-tui is for")
    small = columns < 80 or rows < 24
    return Finding("size", f"{columns}×{rows}", "note" if small else "ok", "make it 80×24 or more" if small else "")


def _colours(environ: Mapping[str, str], answer: Answer | None) -> Finding:
    drawn, why = terminal.decided("auto", environ)
    value = f"{drawn} ({why}; COLORTERM={environ.get('COLORTERM', '')})"
    if answer is not None and answer.truecolor is not None:
        value += f"; the terminal {'keeps' if answer.truecolor else 'loses'} 24-bit colours"
        if answer.truecolor and drawn in ("16", "256"):
            return Finding("colours", value, "note", "circuit-tui --color truecolor")
        if drawn == "truecolor" and not answer.truecolor:
            return Finding("colours", value, "wrong", "circuit-tui --color 256")
    return Finding("colours", value)


def _encoding(environ: Mapping[str, str]) -> Finding:
    asked = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")
    used = locale.getpreferredencoding(False)
    value = f"{used} (locale {asked or 'not set'})"
    if used.lower().replace("-", "") != "utf8":
        return Finding("encoding", f"{value}: what it lacks is drawn as ?", "wrong", "export LC_ALL=C.UTF-8")
    if "utf" not in asked.lower():
        return Finding("encoding", f"{value}: tmux and ssh take that for ASCII", "note", "export LC_ALL=C.UTF-8")
    return Finding("encoding", value)


def _clipboard(environ: Mapping[str, str], answer: Answer | None) -> Finding:
    if "TMUX" in environ:
        own, passes = _tmux("set-clipboard"), _tmux("allow-passthrough")
        value = f"OSC 52; tmux has set-clipboard {own or 'unknown'}, allow-passthrough {passes or 'unknown'}"
        if own == "on" or passes in ("on", "all"):
            return Finding("clipboard", value)
        return Finding("clipboard", value, "note", "tmux set -g set-clipboard on \\; set -g allow-passthrough on")
    if "STY" in environ:
        return Finding("clipboard", "OSC 52, wrapped for screen: up to 768 bytes arrive", "note", "use tmux for more")
    if answer is not None and answer.clipboard:
        return Finding("clipboard", "OSC 52: the terminal takes it")
    if environ.get("TERM", "").startswith(("linux", "vt")):
        return Finding("clipboard", "this terminal has none", "note", "every copy is written to a file too")
    return Finding("clipboard", "OSC 52: the terminal does not say whether it takes it; every copy is a file too")


def _tmux(option: str) -> str:
    """An option of the session, or of the server."""
    return _run("tmux", "show-options", "-Agv", option) or _run("tmux", "show-options", "-sv", option) or ""


# --- devices --------------------------------------------------------------------------------------------------------


def on_devices(found: Mapping[str, Any]) -> Iterator[Finding]:
    """``found`` as ``devices.look`` gives it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cpu", f"{cores} cores, {_memory()}")
    if "torch" not in found:
        yield Finding("torch", str(found.get("error", "missing")), "wrong", "python -c 'import torch' says more")
        return
    built = f"CUDA {found['cuda']}" if found["cuda"] else f"ROCm {found['hip']}" if found["hip"] else "no GPU"
    serves = f"the driver serves CUDA {found['driver']}" if found["driver"] else "no NVIDIA driver"
    yield Finding("torch", f"{found['torch']}, built for {built}; {serves}; {found['threads']} threads",
                  *_build_against_driver(found))  # fmt: skip
    for number, device in enumerate(found["devices"]):
        if "error" in device:
            yield Finding(f"cuda:{number}", f"{device['name']}: {device['error']}", "wrong", "nvidia-smi says more")
        else:
            room = f"{bytes_of(device['free'])} free of {bytes_of(device['total'])}"
            yield Finding(f"cuda:{number}", f"{device['name']}, {room}")
    if "error" in found:
        yield Finding("cuda", str(found["error"]), "wrong", "nvidia-smi says more; circuit-tui --device cpu works")
    if found["mps"]:
        yield Finding("mps", "Apple GPU, shares the memory above")
    if not found["devices"] and not found["mps"]:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if found["driver"] and hidden in ("", "-1"):
            yield Finding("cuda", f"CUDA_VISIBLE_DEVICES={hidden} hides the GPUs", "note", "unset CUDA_VISIBLE_DEVICES")
        elif Path("/dev/nvidia0").exists() and not found["driver"]:
            yield Finding("cuda", "there is an NVIDIA GPU, but not its driver's library, libcuda.so.1", "wrong",
                          "in a container: start it with --gpus all (docker) or --nv (apptainer)")  # fmt: skip
        elif "error" not in found:
            yield Finding("gpu", "none: models run on the CPU")


def _build_against_driver(found: Mapping[str, Any]) -> tuple[State, str]:
    """Whether this build of torch can use the driver, and which could."""
    if not found["driver"] or found["hip"]:
        return "ok", ""
    served = int(found["driver"].split(".")[0])
    if found["cuda"] and int(found["cuda"].split(".")[0]) <= served:
        return "ok", ""
    build = next((name for major, name in BUILDS if int(major) <= served), "")
    index = f"pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/{build}"
    return "wrong", index if build else "a newer driver: this one serves no CUDA that torch is built for"


def _memory() -> str:
    total, free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), 0
    try:
        values = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(values["MemAvailable"].split()[0]) << 10
    except (OSError, ValueError, KeyError):
        return f"{bytes_of(total)} of memory"
    return f"{bytes_of(free)} of memory free of {bytes_of(total)}"


# --- packages -------------------------------------------------------------------------------------------------------


def on_packages() -> Iterator[Finding]:
    """Versions, against what this version asks for; extras that are not installed."""
    try:
        from packaging.requirements import Requirement

        asked = [Requirement(text) for text in importlib.metadata.requires(config.NAME) or ()]
    except (ImportError, importlib.metadata.PackageNotFoundError):
        value = "runs from a folder, not installed: versions are not checked"
        yield Finding(config.NAME, value, "note", "pip install .")
        asked = []
    lacking: dict[str, list[str]] = {}
    for requirement in asked:
        extra = str(requirement.marker).partition('extra == "')[2].partition('"')[0] if requirement.marker else ""
        if extra == "dev" or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        version = _version(requirement.name)
        if extra:
            if not version:
                lacking.setdefault(extra, []).append(requirement.name)
        elif not version:
            yield Finding(requirement.name, "missing", "wrong", f"pip install {_shell(requirement)}")
        elif not requirement.specifier.contains(version, prereleases=True):
            value = f"{version}, but {requirement.specifier} is asked for"
            yield Finding(requirement.name, value, "wrong", f"pip install {_shell(requirement)}")
        else:
            yield Finding(requirement.name, version)
    for name in BESIDE:
        yield Finding(name, _version(name) or "missing", *(() if _version(name) else ("wrong", f"pip install {name}")))
    for extra, names in lacking.items():
        missing = f"without {', '.join(names)}"
        yield Finding(f"[{extra}]", missing, "note", f"pip install '{config.NAME}[{extra}]'")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _shell(requirement: Any) -> str:
    return f"'{requirement.name}{requirement.specifier}'"


# --- hub and files --------------------------------------------------------------------------------------------------


def on_hub() -> Iterator[Finding]:
    """The hub's cache: where, how much, how much more, and whether anything is downloaded."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return  # said among the packages
    cache = Path(constants.HF_HUB_CACHE)
    models = sorted(cache.glob("models--*")) if cache.is_dir() else []
    size, whole = _size_of(cache, SCAN_SECONDS)
    yield Finding("cache", f"{cache}: {len(models)} models, {'' if whole else 'more than '}{bytes_of(size)}")
    yield _room("room", cache, "HF_HOME=/another/disk circuit-tui keeps models there")
    if constants.HF_HUB_OFFLINE:
        value = "HF_HUB_OFFLINE is set: only what is in the cache opens"
        yield Finding("offline", value, "note", "unset HF_HUB_OFFLINE")


def _size_of(folder: Path, seconds: float) -> tuple[int, bool]:
    """Bytes of all files below, links not followed, and whether there was time for all of them."""
    total, deadline = 0, time.monotonic() + seconds
    for root, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(root, file)).st_size
            except OSError:
                continue
        if time.monotonic() > deadline:
            return total, False
    return total, True


def on_files() -> Iterator[Finding]:
    """Where things are kept, whether that works, and every error of the config file with its line."""
    state = config.state_directory()
    yield _room("state", state, f"XDG_STATE_HOME=/another/folder {config.NAME} keeps it there")
    log = config.log_file()
    yield Finding("log", f"{log}: {bytes_of(log.stat().st_size)}" if log.is_file() else f"{log}: not written yet")
    file = config.read()
    keys, origins = remapping.checked(file.options.keys), file.options.origins
    wrong = [*file.problems, *remapping.sentences(keys.wrong, origins), *_theme(file.options)]
    said: list[tuple[str, State]] = [(problem, "wrong") for problem in wrong]
    said += [(remark, "note") for remark in remapping.sentences(keys.remarks, origins)]
    yield Finding("config", f"{file.path}{'' if file.path.exists() else ': there is none, the defaults hold'}")
    for line, sentence, how in sorted((_line_of(sentence), sentence, how) for sentence, how in said):
        yield Finding("config", sentence, how, f"${{EDITOR:-vi}} +{line} {shlex.quote(str(file.path))}")


def _line_of(problem: str) -> int:
    found = re.search(r":(\d+): ", problem)
    return int(found[1]) if found else 1


def _theme(options: config.Options) -> Iterator[str]:
    if options.theme is None:
        return
    from textual.theme import BUILTIN_THEMES

    from .app import DARK, LIGHT

    known = sorted({*BUILTIN_THEMES, DARK.name, LIGHT.name})
    if options.theme not in known:
        yield f"{options.origins['theme']}: there is no theme {options.theme!r}; there are {', '.join(known)}."


def _room(name: str, folder: Path, elsewhere: str) -> Finding:
    """Whether a folder can be written to, or be made, and the room there."""
    there = next((place for place in (folder, *folder.parents) if place.is_dir()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding(name, f"{folder} cannot be written to ({error.strerror})", "wrong", elsewhere)
    value = f"{folder}, {bytes_of(free)} free"
    return Finding(name, value, "wrong", elsewhere) if free < LITTLE_ROOM else Finding(name, value)


def bytes_of(n: float) -> str:
    """``3.5 MB``; powers of 1000, as disks and drivers' tools that say MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if n >= 100 or unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"
