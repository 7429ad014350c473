"""A direction that is added to the stream: how it is asked for.

    4: Paris - Berlin            4 times the difference of two unembeddings, before the selected head's layer, at the
                                 cursor's position; of the stream's own length there
    -2 L3 @all: Paris            before layer 3, at every position
    1 L2 @4-6: svd L1H3 0        the first output direction of a head's OV
    1 L2: pair                   clean minus corrupted stream, before that layer, at the cursor's position
    0.5 L2: vector.npy           the numbers of a file, in their own length
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engine import jobs
from .names import head_at
from .page import Lookup, Problem, Question
from .results import Found, ModelInfo
from .selection import Entry, Selection

if TYPE_CHECKING:
    import numpy as np
else:
    from .later import numpy as np

FORM = "write 4: Paris - Berlin, or -2 L3 @all: Paris"
_AMOUNT, _LAYER, _PLACE = r"(?P<amount>[+-]?\d{1,4}(?:\.\d{1,4})?)?", r"(?:L(?P<layer>\d{1,4}))?", "(?:@(?P<place>{}))?"
_HOW = re.compile(rf"\s*{_AMOUNT}\s*{_LAYER}\s*{_PLACE.format('all|-?[0-9]+(?:-[0-9]+)?')}\s*", re.IGNORECASE)
_SVD = re.compile(r"svd\s+(\S+)\s+(\d{1,4})", re.IGNORECASE)


@dataclass(frozen=True)
class How:
    """How much of it, and where."""

    amount: float
    layer: int
    positions: jobs.Span


def how(s: Selection, text: str) -> How | str:
    """``4 L2 @-1`` → what it says, the rest as it is on the screen; a sentence where it cannot be read."""
    match = _HOW.fullmatch(text)
    if match is None:
        return f"“{text.strip()}” is no amount, layer and position: {FORM}"
    layer = s.layer if match["layer"] is None else int(match["layer"])
    if s.model is not None and layer > s.model.n_layers:
        return f"there is no stream before layer {layer}: the last one, after all, is L{s.model.n_layers}"
    place = (match["place"] or str(s.position)).lower()
    if place == "all":
        return How(float(match["amount"] or 1), layer, None)
    first, _, last = place[1:].partition("-")
    start = int(place[0] + first)
    positions = tuple(range(start, int(last) + 1)) if last else (start,)
    if not positions:
        return f"“@{place}”: a range of positions goes upwards, such as @2-5"
    return How(float(match["amount"] or 1), layer, positions)


def _answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    if s.model is None or s.key is None:
        return Problem("no model is there yet: press enter again when one is")
    before, colon, words = text.rpartition(":") if ":" in text else ("", "", text)
    found = how(s, before)
    if isinstance(found, str):
        return Problem(found)
    words = words.strip()
    if not words:
        return Problem(f"no direction is named: {FORM}")
    made = _direction(s, words, found, s.model)
    if isinstance(made, str):
        return Problem(made)
    if made is None:
        return jobs.FindTarget(s.key, words, f"{before}{colon} " if colon else "")
    return _with(s, jobs.AddVector(found.layer, made, found.amount, found.positions, unit=made.kind != "given"))


def _direction(s: Selection, words: str, found: How, model: ModelInfo) -> jobs.SteeringDirection | str | None:
    """A direction that needs no look-up; a sentence about what is wrong with it; None: the words are tokens."""
    if (svd := _SVD.fullmatch(words)) is not None:
        at, index = head_at(svd[1]), int(svd[2])
        if at is None or at[0] >= model.n_layers or at[1] >= model.n_heads:
            return f"“{svd[1]}” is no head of this model"
        if index >= model.d_head:
            return f"there is no singular direction {index}: a head's are 0 to {model.d_head - 1}"
        return jobs.SteeringDirection(f"{svd[1].upper()} σ{index}", "singular", (*at, index))
    if words.lower() == "pair":
        if s.changed.run is None or s.corrupted is None:
            return "there is no other prompt: P takes one"
        if len(s.corrupted.ids) != len(s.changed.run.ids):
            return "the two prompts differ in length: P edits the other one"
        state, place = f"L{found.layer}", found.positions[0] if found.positions else s.position
        name = f"clean − corrupted at L{found.layer} ({place})"
        return jobs.SteeringDirection(name, "streams", (), (s.changed.run.clean, s.corrupted), state, place)
    if words.endswith(".npy"):
        return _from_file(words, model.d_model)
    return None


def _from_file(path: str, d_model: int) -> jobs.SteeringDirection | str:
    try:
        values = np.load(Path(path).expanduser(), allow_pickle=False)
    except (OSError, ValueError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no .npy file of numbers'}"
    if values.shape != (d_model,) or not np.isfinite(values).all():
        return f"{path} has shape {list(values.shape)}; a vector of this model's stream has {d_model} finite numbers"
    return jobs.SteeringDirection(Path(path).name, "given", numbers=tuple(values.astype(float).tolist()))


def _found(s: Selection, job: Lookup, result: Any) -> Selection:
    """The tokens are known: one, or one against another."""
    assert isinstance(job, jobs.FindTarget)
    assert isinstance(result, Found)
    found = how(s, job.before.rpartition(":")[0])
    assert isinstance(found, How)
    ids = (*result.answers.ids[:1], *result.distractors.ids[:1])
    towards = jobs.SteeringDirection(result.label or job.text, "token", ids)
    return _with(s, jobs.AddVector(found.layer, towards, found.amount, found.positions))


def _with(s: Selection, change: jobs.AddVector) -> Selection:
    return replace(s, stack=(*s.stack, Entry(change)), contrast="changed")


QUESTION = Question(
    "steer", "Add a direction", "4: Paris - Berlin · -2 L3 @all: Paris · 1: svd L1H3 0 · 1 L2: pair · 0.5: FILE.npy",
    _answered, found=_found,
)  # fmt: skip
