"""Questions that no page asks, and answers that are one of several tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import pages, prompts
from .page import Lookup, Problem, Question
from .results import Split
from .selection import Selection, with_file, without_file
from .text import visible
from .tree import TREE


@dataclass(frozen=True)
class Choice:
    """The answer is one of several: what to ask, and (label, the whole answer with that one in it)."""

    sentence: str
    options: tuple[tuple[str, str], ...]


def prompt_file(s: Selection, path: str) -> Selection | Problem:
    """The selection on a file of prompts; an empty path closes the one that is open."""
    if not path:
        return without_file(s)
    try:
        rows = prompts.read(path)
    except prompts.PromptsError as error:
        return Problem(f"{error.message} {error.hint}".strip())
    return with_file(s, path, rows)


def _model(s: Selection, text: str) -> Selection | Lookup | Problem:
    return replace(s, open=replace(s.open, source=text)) if text else s


PROMPTS = Question(
    "prompts", "File of prompts", "one prompt a line, or JSON lines with prompt, answer, distractor · empty: close it",
    prompt_file, lambda s: s.file.path if s.file else "",
)  # fmt: skip
MODEL = Question("model", "Model", "demo, a hub name such as gpt2, or a folder in either format: see the README", _model)


def named(id: str, s: Selection) -> Question:
    """The question of that id, the shown page's if it has one. StopIteration if there is none."""
    return next(question for question in (*pages.questions(s), TREE, PROMPTS, MODEL) if question.id == id)


def choice(text: str, split: Split) -> Choice:
    """The tokens of a word to pick one from, first those of the word as it stands inside a text."""
    options: dict[int, str] = {}
    for tokens, where in ((split.with_space, "with a space before it"), (split.without, "without a space")):
        whole = " ".join(visible(piece) for piece in tokens.texts)
        for place, (token, piece) in enumerate(zip(tokens.ids, tokens.texts, strict=True), 1):
            options.setdefault(token, f"{visible(piece)}   token {place} of {whole}, {where}")
    sentence = f"“{visible(split.word)}” is {len(split.with_space)} tokens here: pick the one that is meant"
    return Choice(sentence, tuple((label, replace_word(text, split.word, token)) for token, label in options.items()))


def replace_word(text: str, word: str, token: int) -> str:
    """The answer with a word given as a token id, where it stands as a whole word."""
    sides = []
    for side in text.replace(" − ", " - ").split(" - ", 1):
        words = [part.strip() for part in side.split(",")]
        sides.append(", ".join(f"#{token}" if part == word else part for part in words))
    return " - ".join(sides)
