"""Answers and distractors: found by their words, as a direction of the stream, and in words. Worker thread only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from ..circuits import residual
from ..circuits.errors import Refusal
from ..circuits.tensors import Trace
from ..models.errors import ModelError
from ..models.tokens import Tokenizer
from ..results import Found, Scalar, Split
from ..text import against
from .bench import Context
from .jobs import FindTarget, Target
from .opened import OpenModel

CAPPED = "soft-capped logits are not additive: these parts sum to the logit before the cap"
FORM = "Write {}, or {} - {}; several on a side are separated by commas, and {} id."
_MINUS = re.compile(r"(?:^|\s)[-−](?:\s|$)")
_ID = re.compile(r"#([0-9]{1,99})")


def find_target(job: FindTarget, bench: OpenModel, ctx: Context) -> Found | Split:
    text, form = job.text.strip(), _form(bench)
    sides = _MINUS.split(text) if len(text) > 1 else [text]  # a lone - is that token
    if len(sides) > 2:
        raise ModelError("There is more than one minus between blanks.", form)
    ids: list[list[int]] = []
    for side in sides:
        ids.append([])
        whole = side.strip() in bench.info.classes  # a class's name may have commas in it
        for word in filter(None, [side.strip()] if whole else (part.strip() for part in side.split(","))):
            token = _token(bench.live.outputs, word)
            if isinstance(token, Split):
                return token
            ids[-1].append(token)
    answers, distractors = (tuple(dict.fromkeys(side)) for side in (*ids, [])[:2])
    if not answers:
        raise ModelError("There is no answer." if len(sides) == 1 else "There is no answer before the minus.", form)
    if len(sides) == 2 and not distractors:
        raise ModelError("There is no distractor after the minus.", form)
    if set(answers) == set(distractors):
        raise ModelError("The answer and the distractor are the same.", form)
    label = against(bench.output_words(answers), bench.output_words(distractors))
    return Found(bench.live.outputs.named(answers), bench.live.outputs.named(distractors), label)


def _form(bench: OpenModel) -> str:
    """How an answer is written."""
    if bench.info.classes:
        first, last = bench.info.classes[0], bench.info.classes[-1]
        return FORM.format(last, last, first, "#0 is an output's")
    return FORM.format("Paris", "Paris", "Berlin", "#17 is a token")


def _token(tokens: Tokenizer, word: str) -> int | Split:
    """The one token that a word is, else how it splits. ModelError for what is no token at all."""
    if match := _ID.fullmatch(word):
        token = int(match[1])
        tokens.text(token)
        return token
    try:
        return tokens.single(word)
    except ModelError:
        with_space, without = tokens.forms(word)
        if min(len(with_space), len(without)) < 2:
            raise
        return Split(word, tokens.named(with_space), tokens.named(without))


def direction(bench: OpenModel, target: Target | None) -> residual.Direction:
    """The target as a direction in what the final norm puts out, and its share of the biases."""
    if target is None or not target.answers:
        raise Refusal("The answer's direction needs an answer.", "Name the token that the prompt should end in.")
    bench.output_index((*target.answers, *target.distractors))
    mean = None if target.distractors else bench.mean_column
    return residual.direction(bench.ends, target.answers, target.distractors, mean)


def value(bench: OpenModel, trace: Trace, positions: slice, target: Target) -> Tensor:
    """``[p]`` float64: the model's own value of the target there, before a soft cap."""
    stream, logits = trace.resid_pre[-1][positions], trace.logits[positions]
    return residual.target(bench.ends, stream, logits, target.answers, target.distractors)


def convention(bench: OpenModel, target: Target | None) -> dict[str, Scalar]:
    """Answer and distractor as they read in a text, for a header."""
    if target is None:
        return {}
    names = {"answer": target.answers, "distractor": target.distractors}
    return {name: ", ".join(bench.output_texts(ids)) for name, ids in names.items() if ids}


def toward(bench: OpenModel, target: Target) -> str:
    """``·Paris, away from ·London``, ``·Paris against the mean logit``: to what a positive number pushes."""
    answers = _mean(bench, target.answers)
    if target.distractors:
        return f"{answers}, away from {_mean(bench, target.distractors)}"
    return answers if bench.ends.logit_cap else f"{answers} against the mean logit"


def whole(bench: OpenModel, target: Target) -> str:
    """What the parts of the target sum to, in words."""
    if target.distractors:
        return "the logit difference" + (" before the cap" if bench.ends.logit_cap else "")
    if bench.ends.logit_cap:
        return "the logit before the cap"
    return bench.of_outputs("the logit minus its mean over the vocabulary")


def details(bench: OpenModel) -> dict[str, Scalar]:
    """What must be said of a sum of logits on this model."""
    return {"note": CAPPED} if bench.ends.logit_cap else {}


def listed(bench: OpenModel, ids: Sequence[int]) -> str:
    """One side of a target in words: ``·Paris, ·Rome``."""
    return ", ".join(bench.output_words(ids))


def _mean(bench: OpenModel, ids: Sequence[int]) -> str:
    return listed(bench, ids) if len(ids) == 1 else f"the mean of {listed(bench, ids)}"
