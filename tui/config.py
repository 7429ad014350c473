"""What a user decides: options of one run, the config file, and where files that outlive a run are kept.

``$XDG_CONFIG_HOME/circuit-tui/config.toml`` (``~/.config`` by default)::

    theme = "nord"
    model = "gpt2"          # any long option of `circuit-tui --help`, its dashes as underscores
    weights = "raw"

    [keys]                  # command id = "key,key": see the table of keys in the help
    "next_head" = "n"

    [aliases]               # a word after ":" and what it stands for
    facts = "prompts ~/facts.json"

``$XDG_STATE_HOME/circuit-tui`` (``~/.local/state`` by default) holds the log and the prompts typed so far.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

from . import aliases

NAME = "circuit-tui"
HISTORY_LENGTH = 500

CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dtype": ("auto", "float32", "bfloat16", "float16"),
        "weights": ("processed", "raw"),
        "bos": ("auto", "on", "off"),
        "color": ("auto", "truecolor", "256", "16", "none"),
    }
)
FILES_ALONE: Mapping[str, str] = MappingProxyType(
    {
        "--weights-only": "never load the model: QK, OV, compositions and searches, read from its files by slice",
        "--stream": "never load the model: run a prompt through it layer by layer, in the memory of one layer",
    }
)
"""Options by which a model is opened that fits nowhere."""
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class Options:
    """One run of the app, as the command line and the config file ask for it."""

    model: str = "demo"
    """``demo``, a hub name, or a folder."""
    prompt: str | None = None
    """None: the example prompt."""
    prompts: str | None = None
    """A file of prompts to open with."""
    device: str = "auto"
    dtype: str = "auto"
    weights: str = "processed"
    bos: str = "auto"
    threads: int | None = None
    color: str = "auto"
    """When the app starts: what is drawn, so ``truecolor``, ``256``, ``16`` or ``none``; never ``auto``."""
    theme: str | None = None
    mouse: bool = True
    log: str | None = None
    """File that warnings and libraries' messages go to; None: the default one."""
    fields: str | None = None
    """What the fields of ``prompts`` are called in it: ``prompt=text,answer=label``."""
    revision: str | None = None
    """Branch, tag or commit of a hub name."""
    chat: bool = False
    """Whether the prompt is a user's message in the model's chat template."""
    weights_only: bool = False
    """The model is never loaded: circuits from the files alone."""
    stream: bool = False
    """The model is never loaded: a prompt runs through it layer by layer."""
    device_map: str = ""
    """Layers on several devices: ``auto``, ``balanced``, or a file of module → device; empty: all on one."""
    max_memory: str = ""
    """What is put on each of them at most: ``0=20GB,cpu=60GB``."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Command id → keys, as Textual's ``App.set_keymap`` takes them."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Words after ``:`` → what they stand for."""
    welcome: bool = False
    """Whether this is the first start here: the tour is offered."""
    notice: str = ""
    """One sentence to show at the start, such as what is wrong with the config file."""


def source(model: str, revision: str | None) -> str:
    """How a model is named where its revision is a part of the name."""
    return f"{model}@{revision}" if revision else model


def check(name: str, value: object) -> str:
    """What is wrong with the value of an option, as a sentence that says what to do; empty if nothing is."""
    if name in CHOICES:
        if value not in CHOICES[name]:
            return f"{name} must be one of {', '.join(CHOICES[name])}, not {value!r}."
    elif name == "device":
        if not isinstance(value, str) or not _DEVICE.fullmatch(value):
            return f"device must be auto, cpu, cuda, cuda:N or mps, not {value!r}."
    elif name == "threads":
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1024:
            return f"threads must be a whole number from 1 to 1024, not {value!r}."
    elif name in ("mouse", "chat", "weights_only", "stream"):
        if not isinstance(value, bool):
            return f"{name} must be true or false, not {value!r}."
    elif name == "keys":
        if not isinstance(value, dict) or not all(isinstance(keys, str) and keys for keys in value.values()):
            return '[keys] must hold lines of the form "command" = "key".'
    elif name == "aliases":
        if not isinstance(value, dict):
            return '[aliases] must hold lines of the form name = "what is typed after :".'
        return aliases.problem(value)
    elif not isinstance(value, str) or (name != "prompt" and not value):
        return f"{name} must be text, not {value!r}."
    return ""


def load(path: Path | None = None) -> Options:
    """Options of the config file. A broken file gives the defaults and a notice that says what is wrong."""
    path = path or config_file()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Options()
    except (OSError, UnicodeDecodeError) as error:
        return Options(notice=f"{path} could not be read ({_reason(error)}): the defaults are used.")
    import tomllib  # 10 ms that a run without a config file does not pay

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Options(notice=f"{path} is not valid TOML ({error}): the defaults are used.")
    known = {option.name for option in fields(Options)} - {"notice", "welcome"}
    for name, value in values.items():
        problem = f"it has no option {name!r}." if name not in known else check(name, value)
        if problem:
            return Options(notice=f"In {path}, {problem} The defaults are used.")
    return replace(Options(), **values)


def config_file() -> Path:
    """Where the config file is looked for."""
    return _base("XDG_CONFIG_HOME", ".config") / NAME / "config.toml"


def state_directory() -> Path:
    """Where the log, the history and saved sessions are kept. Not created here."""
    return _base("XDG_STATE_HOME", ".local/state") / NAME


def first_start() -> bool:
    """Whether the app has not been started here before; asked again, it has. Where that cannot be kept it has too:
    what is to be said once would be said every time."""
    state = state_directory()
    try:
        if (state / "welcomed").exists() or (state / "prompts.jsonl").exists():
            return False
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        (state / "welcomed").touch()
    except OSError:
        return False
    return True


def log_file() -> Path:
    """Where warnings and libraries' messages go unless ``--log`` says otherwise."""
    return state_directory() / f"{NAME}.log"


def read_history(of: str = "prompts") -> list[str]:
    """What was typed in earlier runs, ``prompts`` or ``commands``, oldest first. Lines that cannot be read are left
    out."""
    try:
        lines = _history_file(of).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    prompts = []
    for line in lines:
        try:
            prompt = json.loads(line)
        except ValueError:
            continue
        if isinstance(prompt, str):
            prompts.append(prompt)
    return prompts[-HISTORY_LENGTH:]


def write_history(prompts: list[str], of: str = "prompts") -> bool:
    """Keep the last of what was typed for the next run. False, and nothing half-written, where there is no room or no
    right."""
    path = _history_file(of)
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch.write_text("".join(f"{json.dumps(prompt)}\n" for prompt in prompts[-HISTORY_LENGTH:]), "utf-8")
        scratch.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
        return False
    return True


def _history_file(of: str) -> Path:
    return state_directory() / f"{of}.jsonl"


def _base(variable: str, default: str) -> Path:
    """A directory of the XDG specification, which says to ignore relative paths."""
    value = os.environ.get(variable, "")
    if os.path.isabs(value):
        return Path(value)
    try:
        return Path.home() / default
    except RuntimeError:  # no HOME and no entry for this user, as in some containers
        return Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is not UTF-8"
