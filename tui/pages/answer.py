"""The answer that Lens, Attribution, Sources and Residual speak of: how it is asked for, and what it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..declared import Lookup, Problem, Question
from ..engine import jobs
from ..results import Found
from ..selection import Answer, Selection
from .residual import FlowLook


def _answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    if not text:
        return replace(s, answer=None)
    if s.key is None:
        return Problem("no model is there yet: press enter again when one is")
    return jobs.FindTarget(s.key, text)


def _found(s: Selection, job: Lookup, result: Any) -> Selection:
    assert isinstance(result, Found)
    flow = s.look(FlowLook)  # lengths of writes know no answer
    flow = replace(flow, measure="answer") if flow.measure == "norm" else flow
    return s.put(flow, answer=Answer(jobs.Target(result.answers.ids, result.distractors.ids), job.text, result.label))


ANSWER = Question(
    "answer", "Answer - distractor", "Paris · Paris - Berlin · several are averaged: Paris, Rome - Berlin · #17: an "
    "id · empty: the likeliest next token", _answered, lambda s: s.answer.text if s.answer else "", _found,
)  # fmt: skip
