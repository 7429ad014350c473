"""A direction that is added to the stream: how it is asked for.

    4: Paris - Berlin            4 times the difference of two unembeddings, before the selected head's layer, at the
                                 cursor's position; of the stream's own length there
    -2 L3 @all: Paris            before layer 3, at every position
    1 L2 @4-6: svd L1H3 0        the first output direction of a head's OV
    1 L2: pair                   clean minus corrupted stream, before that layer, at the cursor's position
    0.5 L2: vector.npy           the numbers of a file, in their own length
    0.5 L2: FILE.safetensors:d   the tensor named d of one; without a name the only one
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .declared import Lookup, Problem, Question
from .engine import jobs
from .names import head_at
from .results import Found, ModelInfo
from .selection import Entry, Selection

if TYPE_CHECKING:
    import numpy as np
else:
    from .later import numpy as np

NAMED = 6
"""Tensors of a file that a sentence names."""
PLACED = "-2 L3 @all: Paris"
FORM = f"write 4: Paris - Berlin, or {PLACED}"
_AMOUNT, _LAYER, _PLACE = r"(?P<amount>[+-]?\d{1,4}(?:\.\d{1,4})?)?", r"(?:L(?P<layer>\d{1,4}))?", "(?:@(?P<place>{}))?"
_HOW = re.compile(rf"\s*{_AMOUNT}\s*{_LAYER}\s*{_PLACE.format('all|-?[0-9]+(?:-[0-9]+)?')}\s*", re.IGNORECASE)
_TENSOR = re.compile(r"(?P<path>.+\.safetensors)(?::(?P<name>.+))?")
_SVD = re.compile(r"svd\s+(\S+)\s+(\d{1,4})", re.IGNORECASE)


@dataclass(frozen=True)
class How:
    """How much of it, and where."""

    amount: float
    layer: int
    positions: jobs.Span


def is_placed(text: str) -> bool:
    """Whether it names a layer and positions."""
    match = _HOW.fullmatch(text.partition(":")[0])
    return match is not None and match["layer"] is not None and match["place"] is not None


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
    made = read(s, text)
    if isinstance(made, str):
        return Problem(made)
    return _with(s, made) if isinstance(made, jobs.AddVector) else made


def read(s: Selection, text: str) -> jobs.AddVector | jobs.FindTarget | str:
    """The vector that is asked for, or what of it has to be looked up; a sentence where it cannot be read."""
    if s.model is None or s.key is None:
        return "no model is there yet: press enter again when one is"
    before, colon, words = text.partition(":")
    if not colon or before.endswith(".safetensors"):
        before, colon, words = "", "", text
    found = how(s, before)
    if isinstance(found, str):
        return found
    words = words.strip()
    if not words:
        return f"no direction is named: {FORM}"
    made = _direction(s, words, found, s.model)
    if isinstance(made, str):
        return made
    if made is None:
        return jobs.FindTarget(s.key, words, f"{before}{colon} " if colon else "")
    return jobs.AddVector(found.layer, made, found.amount, found.positions, unit=made.kind != "given")


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
        return _given(words, Path(words).name, _from_npy(words), model.d_model)
    if (tensor := _TENSOR.fullmatch(words)) is not None:
        path, name = tensor["path"], tensor["name"]
        shown = Path(path).name + (f":{name}" if name else "")
        return _given(words, shown, _from_safetensors(path, name), model.d_model)
    return None


def _from_npy(path: str) -> np.ndarray | str:
    try:
        values: np.ndarray = np.load(Path(path).expanduser(), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no .npy file of numbers'}"
    return values


def _from_safetensors(path: str, name: str | None) -> np.ndarray | str:
    """The named tensor, or the only one; a sentence with their names where there are several."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).expanduser().is_file():
        return f"{path} cannot be read: there is no such file"
    try:
        with safe_open(Path(path).expanduser(), "pt") as file:  # NumPy has no bfloat16
            names = sorted(file.keys())
            if name is None and len(names) == 1:
                (name,) = names
            if name not in names:
                listed = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
                said = "no tensor" if not names else f"{len(names)} tensor{'s' if len(names) > 1 else ''}: {listed}"
                return f"{path} has {said}" + (f"; write {path}:{names[0]}" if names else "")
            values: np.ndarray = file.get_tensor(name).double().numpy()
    except (OSError, SafetensorError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no .safetensors file'}"
    return values


def _given(words: str, shown: str, values: np.ndarray | str, d_model: int) -> jobs.SteeringDirection | str:
    if isinstance(values, str):
        return values
    if values.shape != (d_model,) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        return f"{words} has shape {list(values.shape)}; a vector of this model's stream has {d_model} finite numbers"
    return jobs.SteeringDirection(shown, "given", numbers=tuple(values.astype(float).tolist()))


def _found(s: Selection, job: Lookup, result: Any) -> Selection:
    assert isinstance(job, jobs.FindTarget)
    return _with(s, towards(s, job, result))


def towards(s: Selection, job: jobs.FindTarget, result: Found) -> jobs.AddVector:
    """The tokens are known: one, or one against another."""
    found = how(s, job.before.rpartition(":")[0])
    assert isinstance(found, How)
    ids = (*result.answers.ids[:1], *result.distractors.ids[:1])
    named = jobs.SteeringDirection(result.label or job.text, "token", ids)
    return jobs.AddVector(found.layer, named, found.amount, found.positions)


def _with(s: Selection, change: jobs.AddVector) -> Selection:
    return replace(s, stack=(*s.stack, Entry(change)), contrast="changed")


QUESTION = Question(
    "steer", "Add a direction", "4: Paris - Berlin · -2 L3 @all: Paris · 1: svd L1H3 0 · 1 L2: pair · 0.5: FILE.npy, "
                                "FILE.safetensors:NAME",
    _answered, found=_found,
)  # fmt: skip
