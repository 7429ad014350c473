"""What a text that is typed after ``:`` may go on to be: words, heads, tokens, files, columns, training steps."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import pages
from .aliases import OWN
from .results import head_name
from .samples import PROMPTS
from .selection import Selection

WORDS: Mapping[str, str] = {
    "chat": "The prompt in the model's chat template, or as it is typed.",
    "checkpoint": "Another training step of the run that is open: checkpoint 1000.",
    "continuation": "The text after the prompt whose loss is measured: continuation and so on.",
    "continue": "What the model says next: continue 20 0.8 seed 3.",
    "find": "A token or a label of what is shown: find France, find ,France in the columns.",
    "head": "A head: head 10 2.",
    "model": "Another model: demo, a hub name, or a folder.",
    "position": "A position of the prompt, or a token of it: position 12, position France.",
    "prompts": "A file of prompts, or a set that comes with the app.",
    "sort": "The list that is shown by one of its columns.",
}
"""The words that places are typed with, and what they do."""
ALONE = ("chat", "continuation")
"""Words that mean something with nothing behind them."""
MOST = 40
"""So many are offered at once."""
LOOKED_AT = 2000
"""So many entries of a folder are looked at: it may be one of millions."""
PROMPT_FILES = (".json", ".jsonl", ".csv", ".tsv", ".txt")
_HEAD = re.compile(r"[lL](\d*)([hH](\d*))?")


@dataclass(frozen=True)
class Completion:
    """What the text may become."""

    text: str
    sentence: str
    whole: bool = True
    """Whether it can be run; else more must be typed."""


def completions(
    s: Selection, text: str, columns: Sequence[str] = (), aliases: Mapping[str, str] | None = None
) -> list[Completion]:
    """How a text may go on, at most ``MOST``; none where nothing is typed. ``columns``: of the list that is shown."""
    word, space, rest = text.lstrip().partition(" ")
    if not word:
        return []
    found = _arguments(s, word.lower(), rest.lstrip(), columns) if space else _first(s, word, aliases or {})
    out: list[Completion] = []
    for completion in found:
        if len(out) == MOST:
            break
        if completion.text != text:
            out.append(completion)
    return out


def reads_files(text: str) -> bool:
    """Whether completing a text looks at the disk."""
    return text.lstrip().lower().startswith(("prompts ", "model "))


def is_there(text: str) -> bool:
    """Whether what a text names is a file or folder, comes with the app, or may be a model of the hub."""
    word, _, name = text.strip().partition(" ")
    name = name.strip()
    of_hub = word.lower() == "model" and not name.startswith(("/", "~", "."))
    return of_hub or name in PROMPTS or os.path.exists(os.path.expanduser(name))


def _first(s: Selection, word: str, aliases: Mapping[str, str]) -> Iterator[Completion]:
    """One word: a word of the language, an alias, a head."""
    for name, stands_for in sorted({**OWN, **aliases}.items()):
        if name.startswith(word) and name != word:
            yield Completion(name, f"Stands for {stands_for}.", name not in OWN)
    for name, sentence in WORDS.items():
        if name.startswith(word.lower()):
            yield Completion(name if name in ALONE else f"{name} ", sentence, name in ALONE)
    typed = _HEAD.fullmatch(word)
    if typed is not None and s.model is not None:
        yield from (Completion(name, "Show this head.") for name in _heads(s, word))


def _heads(s: Selection, text: str) -> Iterator[str]:
    n_layers, n_heads = (s.model.n_layers, s.model.n_heads) if s.model is not None else (0, 0)
    for layer in range(n_layers):
        for head in range(n_heads):
            if (name := head_name(layer, head)).lower().startswith(text.lower()):
                yield name


def _arguments(s: Selection, word: str, rest: str, columns: Sequence[str]) -> Iterator[Completion]:
    word = OWN.get(word, word)
    if word in ("find", "position"):
        tokens = pages.of(s).tokens(s)
        texts = dict.fromkeys(text.strip() for text in tokens.texts) if tokens is not None else {}
        wanted = rest.removeprefix(",").lower()
        across = "," if rest.startswith(",") else ""
        yield from (Completion(f"{word} {across}{text}", "A token of the prompt.") for text in texts
                    if text and text.lower().startswith(wanted))  # fmt: skip
    elif word == "head":
        names = _heads(s, rest if rest[:1] in ("l", "L") else f"L{rest.replace(' ', 'H')}")
        yield from (Completion(f"{word} {name}", "Show this head.") for name in names)
    elif word == "sort":
        yield from (Completion(f"{word} {column}", "Of the list that is shown.") for column in columns
                    if column.lower().startswith(rest.lower()))  # fmt: skip
    elif word == "checkpoint":
        steps = s.model.steps if s.model is not None else ()
        yield from (Completion(f"{word} {name}", "A training step of this run.") for name, _ in steps if rest in name)
    elif word == "prompts":
        yield from (Completion(f"{word} {name}", "Comes with the app.") for name in PROMPTS if name.startswith(rest))
        yield from (Completion(f"{word} {path}", said, whole) for path, said, whole in _paths(rest, PROMPT_FILES))
    elif word == "model":
        if "demo".startswith(rest):
            yield Completion(f"{word} demo", "The model that ships inside.")
        yield from (Completion(f"{word} {path}", said, whole) for path, said, whole in _paths(rest, ()))


def _paths(typed: str, endings: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """Folders, and files of these endings, whose path begins as it is typed: (path, sentence, whether that is all)."""
    folder, slash, beginning = typed.rpartition("/")
    try:
        base = Path(folder + slash).expanduser() if slash else Path()
        with os.scandir(base) as entries:
            there = sorted((entry for entry, _ in zip(entries, range(LOOKED_AT), strict=False)), key=lambda e: e.name)
            for entry in there:
                if not entry.name.startswith(beginning) or (entry.name.startswith(".") and not beginning):
                    continue
                path = f"{folder}{slash}{entry.name}"
                if entry.is_dir():
                    model = not endings and os.path.isfile(os.path.join(entry.path, "config.json"))
                    yield (path, "A folder with a model.", True) if model else (f"{path}/", "A folder.", False)
                elif entry.name.endswith(endings) and endings:
                    yield path, "A file.", True
    except (OSError, ValueError, RuntimeError):  # no such folder, no right, a NUL, no home
        return
