"""What the app asks on its bottom line, and what an answer makes of the selection. No widgets: pure functions.

An answer is a new ``Selection``, a job where the worker has to look tokens up first, a ``Choice`` between tokens, or a
``Problem``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import finding, prompts
from .engine.jobs import FindPairs, FindTarget, Target, Words
from .results import Found, Pairs, Split, Tokens
from .state import Selection, with_file
from .text import visible


@dataclass(frozen=True)
class Question:
    """One thing that is asked for by one line of text."""

    id: str
    title: str
    hint: str


@dataclass(frozen=True)
class Problem:
    """Why an answer is no good, and what would be."""

    sentence: str


@dataclass(frozen=True)
class Choice:
    """The answer is one of several: what to ask, and (label, the whole answer with that one in it)."""

    sentence: str
    options: tuple[tuple[str, str], ...]


Lookup = Words | FindTarget | FindPairs
"""What the worker can be asked about an answer."""

WORDS = Question(
    "words", "Tokens for QK and OV", "one token a word: France, Paris, king · or ids: 0:52 · empty: the prompt's tokens"
)
ANSWER = Question(
    "answer", "Answer - distractor", "Paris · Paris - Berlin · several are averaged: Paris, Rome - Berlin · #17: an id "
    "· empty: the likeliest next token"
)  # fmt: skip
PROMPTS = Question(
    "prompts", "File of prompts", "one prompt a line, or JSON lines with prompt, answer, distractor · empty: close it"
)
SEARCH = Question(
    "search", "Heads that tie pairs together", "France>Paris, king>queen: all heads, ranked, in QK and OV · empty: none"
)
FILTER = Question(
    "filter", "Tokens of the search", "3+: that long at least · /ing$/: such ones · same: also with itself · empty: all"
)
TREE = Question("tree", "Heads in the tree", "ind · ind>0.6 · L2 · copy: the heads labelled so · empty: all")
REPEATS = Question("repeats", "Repeated random tokens that heads are scored on", "seed=0 rows=8 length=auto")
OFFSET = Question("offset", "Rotary offset: query position − key position", "0: the same position")
MODEL = Question("model", "Model", "demo, a hub name such as gpt2, or a folder in either format: see the README")


def before(question: Question, s: Selection) -> str:
    """What the field holds at first."""
    file = s.file.path if s.file else ""
    f = s.finding
    texts = {
        "words": s.words, "offset": str(s.offset), "answer": s.answer_text, "prompts": file, "search": f.pairs_text,
        "filter": f.filter_text, "tree": f.tree_filter, "repeats": finding.repeats_text(f.repeats),
    }  # fmt: skip
    return texts.get(question.id, "")


def answered(question: str, text: str, s: Selection) -> Selection | Lookup | Problem:
    """What the text makes of the selection."""
    if question == OFFSET.id:
        limit = s.model.n_ctx - 1 if s.model else 0
        if not (text.isdecimal() and len(text) < 10 and int(text) <= limit):
            return Problem(f"a whole number from 0 to {limit}: how far the key lies before the query")
        return replace(s, offset=int(text))
    if question == MODEL.id:
        return replace(s, open=replace(s.open, source=text)) if text else s
    if question == PROMPTS.id:
        return prompt_file(text, s)
    if question in (FILTER.id, TREE.id, REPEATS.id):
        return _looking(question, text, s)
    if not text:
        return _emptied(question, s)
    if s.key is None:
        return Problem("the model is still loading; press enter again when it is there")
    jobs: dict[str, type[Words] | type[FindPairs]] = {WORDS.id: Words, SEARCH.id: FindPairs}
    return jobs[question](s.key, text) if question in jobs else FindTarget(s.key, text)


def _emptied(question: str, s: Selection) -> Selection:
    """An empty answer goes back to the default."""
    if question == WORDS.id:
        return replace(s, words="", listed=None, listed_of=None)
    if question == SEARCH.id:
        score = finding.Finding().score if s.finding.score in finding.PAIRS else s.finding.score
        return replace(s, finding=replace(s.finding, pairs=None, pairs_text="", score=score))
    return replace(s, chosen=None, answer_text="")


def _looking(question: str, text: str, s: Selection) -> Selection | Problem:
    """What is looked for, and on what."""
    f = s.finding
    if question == TREE.id and (problem := finding.tree_problem(text)):
        return Problem(problem)
    if question == TREE.id:
        return replace(s, finding=replace(f, tree_filter=text))
    if question == FILTER.id:
        chosen = finding.parse_filter(text)
        if isinstance(chosen, str):
            return Problem(chosen)
        return replace(s, finding=replace(f, filter=chosen, filter_text=text, pair_row=0))
    if s.model is None:
        return Problem("the model is still loading; press enter again when it is there")
    longest = max(1, (s.model.n_ctx - s.with_bos) // 2)
    repeats = finding.parse_repeats(text, f.repeats, longest)
    return Problem(repeats) if isinstance(repeats, str) else replace(s, finding=replace(f, repeats=repeats))


def prompt_file(path: str, s: Selection) -> Selection | Problem:
    """The selection on a file of prompts; an empty path closes the one that is open."""
    if not path:
        return replace(s, file=None)
    try:
        rows = prompts.read(path)
    except prompts.PromptsError as error:
        return Problem(f"{error.message} {error.hint}".strip())
    return with_file(s, path, rows)


def found(
    question: str, job: Lookup, result: Tokens | Found | Split | Pairs, s: Selection
) -> Selection | Choice | Problem:
    """What the worker's answer makes of the selection."""
    if isinstance(result, Pairs):
        score = "pairs, OV" if s.view == "ov" else "pairs, QK"
        searched = replace(s.finding, pairs=result, pairs_text=job.text, score=score)
        return replace(s, view="heads", finding=searched)
    if isinstance(result, Split):
        return choice(job.text, result)
    if isinstance(result, Tokens):
        return replace(s, words=job.text, listed=result, listed_of=job, list_row=0, list_col=0)  # type: ignore[arg-type]
    measure = "answer" if s.measure == "norm" else s.measure
    target = Target(result.answers.ids, result.distractors.ids)
    return replace(s, chosen=target, answer_text=job.text, answer_of_file=False, measure=measure)


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
