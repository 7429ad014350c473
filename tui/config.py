"""What a user decides: options of one run, the config file, and where files that outlive a run are kept.

``$XDG_CONFIG_HOME/circuit-tui/config.toml`` (``~/.config`` by default)::

    theme = "nord"
    model = "gpt2"          # any long option of `circuit-tui --help`, its dashes as underscores
    weights = "raw"

    [keys]                  # command id = "key,key"; circuit-tui config --print lists them
    head_next = "n"

    [aliases]               # a word after ":" and what it stands for
    facts = "prompts ~/facts.json"

``$XDG_STATE_HOME/circuit-tui`` (``~/.local/state`` by default) holds the log and the prompts typed so far.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

from . import aliases, atomic, host
from .text import plain

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
    session: str | None = None
    """A session's file to open with."""
    fresh: bool = False
    """Whether the session of the last run is left alone."""
    asked: frozenset[str] = field(default=frozenset(), compare=False)
    """Options that the command line has: they win over what a session restores."""
    cluster: str = ""
    """The Ray cluster that the model runs on: ``auto``, ``local``, or ``host:port``; empty or ``off``: none."""
    cluster_workers: int | None = None
    """How many copies of the model there are on it; None: one for each GPU, or for each node."""
    remote: str | None = None
    """The machine on which the model is opened, as ssh has it, and a model there: ``box:gpt2``; None: this one."""
    remote_command: str = host.COMMAND
    """What is started there."""
    linger: float = host.LINGER
    """Minutes for which the model is kept there while the line is cut."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Command id → keys in Textual's names, with commas between them; ``remapping`` checks them."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Words after ``:`` → what they stand for."""
    welcome: bool = False
    """Whether this is the first start here: the tour is offered."""
    notice: str = ""
    """One sentence to show at the start, such as what is wrong with the config file."""
    problems: tuple[str, ...] = field(default=(), compare=False)
    """All that is wrong with the config file but its keys, each with its line."""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Option (``keys.ID`` for a key) → where its value comes from: ``file:line`` or ``option``; else it is the
    default."""


NAMES = tuple(
    option.name
    for option in fields(Options)
    if option.name not in ("notice", "problems", "origins", "welcome", "asked", "session")
)
"""What a config file may set."""
ARGUMENTS = (*NAMES, "session")
"""What the command line may."""


def source(model: str, revision: str | None) -> str:
    """How a model is named where its revision is a part of the name."""
    return f"{model}@{revision}" if revision else model


def on_cluster(cluster: str) -> bool:
    """Whether ``--cluster`` names one."""
    return cluster not in ("", "off")


def check(name: str, value: object) -> str:
    """What is wrong with the value of an option, as a sentence that says what to do; empty if nothing is."""
    if name in CHOICES:
        if value not in CHOICES[name]:
            return f"{name} must be one of {', '.join(CHOICES[name])}, not {value!r}."
    elif name == "device":
        if not isinstance(value, str) or not _DEVICE.fullmatch(value):
            return f"device must be auto, cpu, cuda, cuda:N or mps, not {value!r}."
    elif name in ("threads", "cluster_workers"):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1024:
            return f"{name} must be a whole number from 1 to 1024, not {value!r}."
    elif name == "linger":
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1440:
            return f"linger must be minutes, from 0 to 1440, not {value!r}."
    elif name == "remote":
        found = host.split(value) if isinstance(value, str) else f"remote must be text, not {value!r}."
        return found if isinstance(found, str) else ""
    elif name in ("mouse", "chat", "weights_only", "stream", "fresh"):
        if not isinstance(value, bool):
            return f"{name} must be true or false, not {value!r}."
    elif name == "keys":
        if not isinstance(value, Mapping):
            return 'keys must be a table, [keys], of lines of the form command = "key".'
    elif name == "aliases":
        if not isinstance(value, Mapping):
            return '[aliases] must hold lines of the form name = "what is typed after :".'
        return aliases.problem(value)
    elif not isinstance(value, str) or (name != "prompt" and not value):
        return f"{name} must be text, not {value!r}."
    return ""


@dataclass(frozen=True)
class File:
    """What a config file says: options, and what is wrong with it."""

    path: Path
    options: Options
    """The defaults where a line is missing or wrong."""
    problems: tuple[str, ...] = ()
    """Each ``path:line: what is wrong, and what would be right``, in the order of the file."""


def read(path: Path | None = None) -> File:
    """The config file. What is wrong is left out, the rest holds; a file that is not there says nothing."""
    path = path or config_file()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return File(path, Options())
    except OSError as error:
        return File(path, Options(), (plain(f"{path} could not be read ({error.strerror}): the defaults hold."),))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return File(path, Options(), (plain(f"{path}:{line}: this is not UTF-8: the defaults hold."),))
    from . import toml  # 10 ms that a run without a config file does not pay

    document = toml.read(text)
    problems = [(line, f"this is not valid TOML ({what}).") for line, what in document.errors]
    values = dict(document.values)
    for name, value in document.values.items():
        if name == "keys" and isinstance(value, dict):
            wrong = {id: keys for id, keys in value.items() if not isinstance(keys, str)}
            values[name] = {id: keys for id, keys in value.items() if id not in wrong}
            problems += [
                (document.line(name, id), f'{id} takes keys in quotes, such as {id} = "f2", not {keys!r}.')
                for id, keys in wrong.items()
            ]
        elif problem := check(name, value) if name in NAMES else _unknown(name):
            problems.append((document.line(name), problem))
            del values[name]
    origins = {name: f"{path}:{document.line(name)}" for name in values}
    for table in ("keys", "aliases"):
        origins |= {f"{table}.{name}": f"{path}:{document.line(table, name)}" for name in values.get(table, {})}
    said = tuple(plain(f"{path}:{line}: {text}") for line, text in sorted(problems))
    return File(path, replace(Options(), **values, origins=origins), said)


def load(path: Path | None = None) -> Options:
    """Options of the config file, with a notice that says what is wrong with it, if anything is."""
    file = read(path)
    return replace(file.options, notice=first_of(file.problems), problems=file.problems)


def first_of(problems: Sequence[str]) -> str:
    """What is wrong with the config file in a sentence or two: the first, and how many more; "" if nothing is."""
    if not problems:
        return ""
    more = f" {len(problems) - 1} more: {NAME} doctor lists them." if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def _unknown(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, NAMES, 1)
    known = f"the nearest is {near[0]}" if near else f"there are {', '.join(NAMES)}"
    return f"there is no option {name!r}; {known}."


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


def write_history(prompts: list[str], of: str = "prompts") -> str:
    """Keep the last of what was typed for the next run. Empty, or a sentence: that there is no room or no right, and
    then nothing is half-written."""
    path = _history_file(of)
    lines = "".join(f"{json.dumps(prompt)}\n" for prompt in prompts[-HISTORY_LENGTH:])
    try:
        atomic.write(path, lines.encode())
    except OSError as error:
        if not prompts:
            return ""
        return f"The {of} typed cannot be kept in {path} ({error.strerror or error}): make room there."
    return ""


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
