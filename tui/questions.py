"""Questions that no page asks, and answers that are one of several tokens."""

from __future__ import annotations

from dataclasses import dataclass

from . import pages, prompts
from .declared import Problem, Question
from .framing import QUESTION as FIGURE
from .pages.chosen import QUESTION as CIRCUITS
from .pages.continuing import QUESTION as CONTINUE
from .results import Split
from .selection import File, Selection, with_file, without_file
from .stack import QUESTION as CHANGE
from .steering import QUESTION as STEERING
from .text import visible
from .tree import TREE


@dataclass(frozen=True)
class Choice:
    """The answer is one of several: what to ask, and (label, the whole answer with that one in it)."""

    sentence: str
    options: tuple[tuple[str, str], ...]


def prompt_file(s: Selection, text: str) -> Selection | Problem:
    """The selection on a file of prompts, ``FILE --fields prompt=text``; an empty path closes the one that is open."""
    if not text:
        return without_file(s)
    try:
        path, fields = prompts.split_fields(text)
        read = prompts.read(path, fields)
    except prompts.PromptsError as error:
        return Problem(f"{error.message} {error.hint}".strip())
    mapped = ",".join(f"{field}={key}" for field, key in fields.items())
    return with_file(s, File(path, read.rows, fields=mapped, notes=read.notes))


def _path(s: Selection) -> str:
    if s.file is None:
        return ""
    return f"{s.file.path} --fields {s.file.fields}" if s.file.fields else s.file.path


PROMPTS = Question(
    "prompts", "File of prompts", "JSON, CSV, TSV with prompt, answer, distractor (else --fields prompt=KEY), or one "
                                  "prompt a line · or capital, induction, indirect object · empty: close it",
    prompt_file, _path,
)  # fmt: skip


def named(id: str, s: Selection) -> Question:
    """The question of that id: the shown page's, everybody's, or another page's. StopIteration if there is none."""
    asked = (*pages.of(s).questions, TREE, CHANGE, STEERING, CONTINUE, PROMPTS, CIRCUITS, FIGURE, *pages.questions())
    return next(question for question in asked if question.id == id)


def choice(text: str, split: Split, before: str = "") -> Choice:
    """The tokens of a word to pick one from, first those of the word as it goes on a text; ``before``: what stands
    before the answer."""
    options = []
    for piece in split.offered:
        whole = " ".join(map(visible, piece.whole.texts))
        where = "after a blank" if piece.spaced else "without one"
        label = f"{visible(piece.text)}   token {piece.place} of {whole}, {where}"
        options.append((label, before + replace_word(text, split.word, piece.token)))
    sentence = f"“{visible(split.word)}” is {len(split.with_space)} tokens here: pick the one that is meant"
    return Choice(sentence, tuple(options))


def replace_word(text: str, word: str, token: int) -> str:
    """The answer with a word given as a token id, where it stands as a whole word."""
    sides = []
    for side in text.replace(" − ", " - ").split(" - ", 1):
        words = [part.strip() for part in side.split(",")]
        sides.append(", ".join(f"#{token}" if part == word else part for part in words))
    return " - ".join(sides)
