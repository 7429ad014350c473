"""What the app asks on its bottom line, and what an answer makes of the selection. No widgets: pure functions.

An answer is a new ``Selection``, a ``Words`` job where the worker has to look tokens up first, or a ``Problem``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .engine.jobs import Words
from .results import Tokens
from .state import Selection


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


WORDS = Question(
    "words", "Tokens for QK and OV", "one token a word: France, Paris, king · or ids: 0:52 · empty: the prompt's tokens"
)
ANSWER = Question("answer", "Answer, distractor", "one token, or two: Paris, Berlin · empty: the likeliest")
OFFSET = Question("offset", "Rotary offset: query position − key position", "0: the same position")
MODEL = Question("model", "Model", "demo, a hub name such as gpt2, or a folder in either format: see the README")


def before(question: Question, s: Selection) -> str:
    """What the field holds at first."""
    return {"words": s.words, "offset": str(s.offset), "answer": s.answer_text}.get(question.id, "")


def answered(question: str, text: str, s: Selection) -> Selection | Words | Problem:
    """What the text makes of the selection."""
    if question == OFFSET.id:
        limit = s.model.n_ctx - 1 if s.model else 0
        if not (text.isdecimal() and len(text) < 10 and int(text) <= limit):
            return Problem(f"a whole number from 0 to {limit}: how far the key lies before the query")
        return replace(s, offset=int(text))
    if question == MODEL.id:
        return replace(s, open=replace(s.open, source=text)) if text else s
    if not text:
        if question == WORDS.id:
            return replace(s, words="", listed=None, listed_of=None)
        return replace(s, answer=None, distractor=None, answer_text="")
    if s.key is None:
        return Problem("the model is still loading; press enter again when it is there")
    return Words(s.key, text)


def found(question: str, job: Words, tokens: Tokens, s: Selection) -> Selection | Problem:
    """What the tokens of an answer make of the selection."""
    if question == WORDS.id:
        return replace(s, words=job.text, listed=tokens, listed_of=job, list_row=0, list_col=0)
    if not 1 <= len(tokens) <= 2:
        return Problem("one token, or two: the answer and its distractor")
    distractor = tokens.ids[1] if len(tokens) == 2 else None
    return replace(s, answer=tokens.ids[0], distractor=distractor, answer_text=job.text, measure="answer")
