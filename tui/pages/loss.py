"""The text after the prompt whose loss is measured: how it is given, and its tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..engine import jobs
from ..results import Tokens
from ..selection import Look, Selection
from ..text import visible

LOSS: jobs.Metric = "loss"
MEASURED: tuple[jobs.Metric, ...] = (*jobs.METRICS, LOSS)
WORDS = (*jobs.METRIC_WORDS, LOSS)
"""As they are written in a command line."""


@dataclass(frozen=True)
class LossLook(Look):
    """What goes on after the prompt."""

    travels: ClassVar[bool] = False
    passing: ClassVar[tuple[str, ...]] = ("tokens", "tokens_of")
    found: ClassVar[tuple[str, ...]] = ("tokens", "tokens_of")
    text: str = ""
    """Blanks and all; empty: nothing was given."""
    tokens: Tokens | None = None
    tokens_of: jobs.Tokenize | None = None
    """The job that ``tokens`` answers."""

    def for_model(self) -> LossLook:
        return LossLook(self.text)


def given(s: Selection, text: str) -> Selection:
    """A text as it is typed: it goes on after a blank, in quotes as it stands; empty: none."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return s.put(LossLook(text[1:-1] if quoted else f" {text}" if text else ""))


def refused(s: Selection, value: str) -> str:
    """Why a metric cannot be measured, or ""."""
    if value != LOSS or s.look(LossLook).text:
        return ""
    return "no text whose loss could be measured: type : and continuation Paris"


def wanted(s: Selection) -> tuple[jobs.Job, ...]:
    """The look-up of its tokens, where it is still to be made."""
    look = s.look(LossLook)
    job = jobs.Tokenize(s.key, look.text, False) if s.key and look.text else None
    return () if job is None or look.tokens_of == job else (job,)


def told(s: Selection, job: jobs.Job, result: Any) -> Selection:
    """What the look-up found; a text that cannot be is dropped."""
    if job not in wanted(s) or not isinstance(job, jobs.Tokenize):
        return s
    return s.put(replace(s.look(LossLook), tokens=result, tokens_of=job) if isinstance(result, Tokens) else LossLook())


def after(run: jobs.Run, s: Selection) -> jobs.Run:
    """The run of a prompt with the text after it."""
    return replace(run, ids=(*run.ids, *ids(s)))


def ids(s: Selection) -> tuple[int, ...]:
    """Its tokens; none where there is no text."""
    tokens = s.look(LossLook).tokens
    return () if tokens is None else tokens.ids


def words(s: Selection) -> str:
    """``loss of ·Paris``."""
    return f"{LOSS} of {visible(s.look(LossLook).text)}"
