"""Names of heads, neurons, parts and states, as they are printed and typed: read here and nowhere else.

``L1H3`` a head, ``L2N17`` a neuron, ``L2.attn`` ``L2.bias`` ``L2.mlp`` a layer's parts, ``L0.mid`` a state of the
stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from .results import head_name

HeadAt = tuple[int, int]
"""Layer and head."""
_HEAD = re.compile(r"\s*L(\d{1,6})H(\d{1,6})\s*", re.IGNORECASE)
_NEURON = re.compile(r"\s*L(\d{1,6})\s*N\s*(\d{1,9})\s*", re.IGNORECASE)
_LAYER = re.compile(r"\s*L?(\d{1,6})\s*", re.IGNORECASE)
_JUMP = re.compile(r"\s*L?(\d{1,6})\s*(?:[H.,\s]\s*(\d{1,6}))?\s*", re.IGNORECASE)
_PART = re.compile(r"L(\d+)(?:H(\d+)|\.(attn|bias|mlp))")
_CHANGED = re.compile(r"L(\d{1,6})(?:(H)(\d{1,6})|(N)(\d{1,9})|\.(attn|mlp))?", re.IGNORECASE)
_RECEIVER = re.compile(r"\s*(?:L(\d{1,6})(?:H(\d{1,6})\.([qkv])|\.mlp)|logits)\s*", re.IGNORECASE)
_SPAN = re.compile(r"(-?\d{1,5})(?:-(-?\d{1,5}))?")
PARTS = "parts are L1H3 (a head), L1.mlp, L1.attn (all heads of a layer), L1 (both) and L1N17 (a neuron)"
RECEIVERS = "receivers are L2H1.q, L2H1.k, L2H1.v (what a head reads), L2.mlp and logits"
COLUMNS = {"attn": "attn", "bias": "bias", "mlp": "MLP"}
"""Kind of a layer's part → its column where layers are rows."""


class Part(NamedTuple):
    """A part of the stream that belongs to a layer."""

    layer: int
    head: int | None
    kind: str
    """``head``, ``attn``, ``bias`` or ``mlp``."""

    @property
    def column(self) -> str:
        """Its column where layers are rows: ``H3``, ``MLP``."""
        return f"H{self.head}" if self.kind == "head" else COLUMNS[self.kind]


class ReceiverAt(NamedTuple):
    """What a path leads to."""

    kind: str
    """``q``, ``k``, ``v``, ``mlp`` or ``logits``."""
    layer: int | None = None
    head: int | None = None


def receiver_at(name: str) -> ReceiverAt | None:
    """``L2H1.q``, ``L2.mlp``, ``logits`` → what it is."""
    match = _RECEIVER.fullmatch(name)
    if match is None:
        return None
    if match[1] is None:
        return ReceiverAt("logits")
    layer = int(match[1])
    return ReceiverAt("mlp", layer) if match[3] is None else ReceiverAt(match[3].lower(), layer, int(match[2]))


def head_at(name: str) -> HeadAt | None:
    """``L1H3`` → (1, 3)."""
    match = _HEAD.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def jump_at(text: str) -> HeadAt | None:
    """A head as it is typed to go there: ``L10H2``, ``10 2``, ``10.2``; without a head its first."""
    match = _JUMP.fullmatch(text)
    return (int(match[1]), int(match[2] or 0)) if match else None


def neuron_at(name: str) -> HeadAt | None:
    """``L3N17`` → (3, 17)."""
    match = _NEURON.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def layer_at(text: str) -> int | None:
    """``L2`` or ``2`` → 2."""
    match = _LAYER.fullmatch(text)
    return int(match[1]) if match else None


def path_at(text: str) -> tuple[HeadAt, HeadAt] | None:
    """``L0H1,L1H2`` → both heads."""
    ends = [head_at(end) for end in text.split(",")]
    return (ends[0], ends[1]) if len(ends) == 2 and ends[0] and ends[1] else None


def part_at(name: str) -> Part | None:
    """``L2H3``, ``L2.mlp`` → what it is; None for embeddings, rounding and the like."""
    match = _PART.fullmatch(name)
    return Part(int(match[1]), int(match[2]) if match[2] else None, match[3] or "head") if match else None


def parts_at(text: str) -> tuple[tuple[str, tuple[int, ...] | None], ...] | str:
    """``L1H3, L2.mlp, L0H1@4, L0H1@2-5`` → each part as it is printed, with its positions (None: all; negative ones
    count from the end); a sentence where the text is not that."""
    if not text.strip():
        return f"no part is named: {PARTS}"
    out: list[tuple[str, tuple[int, ...] | None]] = []
    for item in (item.strip() for item in text.split(",")):
        name, at, place = item.partition("@")
        match, span = _CHANGED.fullmatch(name.strip()), _SPAN.fullmatch(place.strip())
        if match is None:
            return f"“{name.strip()}” is no part: {PARTS}"
        if at and span is None:
            return f"“{item}”: positions are written {name}@4 or {name}@2-5"
        letter, number, kind = match[2] or match[4], match[3] or match[5], match[6]
        part = f"L{int(match[1])}"
        part += f"{letter.upper()}{int(number)}" if letter else f".{kind.lower()}" if kind else ""
        if span is None:
            out.append((part, None))
            continue
        first = int(span[1])
        last = first if span[2] is None else int(span[2])
        if last < first:
            return f"“{item}”: a range of positions goes upwards, such as {name}@2-5"
        if first < 0 <= last:
            return f"“{item}”: a range counts from the start or from the end, not both"
        out.append((part, tuple(range(first, last + 1))))
    return tuple(dict.fromkeys(out))


def circuit_at(text: str) -> tuple[str, ...] | str:
    """A circuit as it is written, one head or MLP a line, ``#`` before comments → its parts in the model's order, each
    once; a sentence with the line's number where the text is not that."""
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        found = parts_at(name)
        if isinstance(found, str):
            return f"line {number}: {found}"
        if len(found) != 1 or found[0][1] is not None or not is_node(found[0][0]):
            return f"line {number}: “{name}” is no part of a circuit: one head (L1H3) or MLP (L1.mlp) a line"
        out.append(found[0][0])
    return in_order(out)


def is_node(name: str) -> bool:
    """Whether a name is a head's or an MLP's."""
    part = part_at(name)
    return part is not None and part.kind in ("head", "mlp")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Heads and MLPs in the order in which the model runs them, each once."""
    known = {name: part for name in names if (part := part_at(name)) is not None}
    return tuple(sorted(known, key=lambda name: (known[name].layer, known[name].kind == "mlp", known[name].head or 0)))


def part_name(layer: int, column: str) -> str:
    """The part of a layer that a column stands for: ``L2H3``, ``L2.mlp``."""
    kinds = {name: kind for kind, name in COLUMNS.items()}
    return f"L{layer}{column}" if column not in kinds else f"L{layer}.{kinds[column]}"


def leads_on(name: str) -> bool:
    """Whether a part is a head, an attention or an MLP, so that there is more of it to see."""
    part = part_at(name)
    return part is not None and part.kind != "bias"


def path_name(path: tuple[HeadAt, HeadAt]) -> str:
    """``L0H1 → L1H2``."""
    return " → ".join(head_name(*at) for at in path)


def state_names(n_layers: int, mids: bool) -> tuple[str, ...]:
    """``L0.pre``, (``L0.mid``,) ``L1.pre``, …, ``L11.post``: ``mids`` are the states between attention and MLP."""
    kinds = ("pre", "mid") if mids else ("pre",)
    return (*(f"L{layer}.{kind}" for layer in range(n_layers) for kind in kinds), f"L{n_layers - 1}.post")
