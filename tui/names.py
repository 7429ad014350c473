"""Names of heads, neurons, parts and states, as they are printed and typed: read here and nowhere else.

``L1H3`` a head, ``L2N17`` a neuron, ``L2E5`` an expert, ``L2.attn`` ``L2.bias`` ``L2.mlp`` a layer's parts, ``L0.mid``
a state of the stream.
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
_EXPERT = re.compile(r"L(\d{1,6})E(\d{1,6})")
_LAYER = re.compile(r"\s*L?(\d{1,6})\s*", re.IGNORECASE)
_JUMP = re.compile(r"\s*L?(\d{1,6})\s*(?:[H.,\s]\s*(\d{1,6}))?\s*", re.IGNORECASE)
_PART = re.compile(r"L(\d+)(?:H(\d+)|\.(attn|bias|mlp))")
_CHANGED = re.compile(r"L(\d{1,6})(?:(H)(\d{1,6})|(N)(\d{1,9})|\.(attn|mlp))?", re.IGNORECASE)
_RECEIVER = re.compile(r"\s*(?:L(\d{1,6})(?:H(\d{1,6})\.([qkv])|\.mlp)|logits)\s*", re.IGNORECASE)
_SPAN = re.compile(r"(-?\d{1,5})(?:-(-?\d{1,5}))?")
_EDGE = re.compile(r"(.*?)\s*(?:->|→)\s*(.*)")
PARTS = "parts are L1H3 (a head), L1.mlp, L1.attn (all heads of a layer), L1 (both) and L1N17 (a neuron)"
RECEIVERS = "receivers are L2H1.q, L2H1.k, L2H1.v (what a head reads), L2.mlp and logits"
EMBED, LOGITS, LAST = "embed", "logits", 1_000_000
"""The sender where everything starts, and the receiver where it ends; a layer that no model has."""
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

    @property
    def name(self) -> str:
        """``L2H1.q``, ``L2.mlp``, ``logits``."""
        return self.kind if self.layer is None else f"{self.part}.{self.kind}" if self.head is not None else self.part

    @property
    def part(self) -> str:
        """``L2H1``, ``L2.mlp``; "" of the logits."""
        return "" if self.layer is None else f"L{self.layer}.mlp" if self.head is None else f"L{self.layer}H{self.head}"


Edge = tuple[str, str]
"""A sender (``embed``, a head, an MLP) and the receiver it sends to: ``("L0H2", "L2H2.k")``."""


class Circuit(NamedTuple):
    """Heads and MLPs, and edges between them, in the model's order."""

    parts: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()

    def with_part(self, name: str) -> Circuit:
        """With a part; one that is there is taken out, and its edges go with it."""
        if name not in self.parts:
            return circuit([*self.parts, name], self.edges)
        edges = [edge for edge in self.edges if name not in ends_of(edge)]
        return circuit([part for part in self.parts if part != name], edges)

    def with_edge(self, edge: Edge) -> Circuit:
        """With an edge and the parts at its ends; one that is there is taken out, and its parts stay."""
        if edge in self.edges:
            return Circuit(self.parts, tuple(other for other in self.edges if other != edge))
        return circuit(self.parts, [*self.edges, edge])

    def lines(self) -> tuple[str, ...]:
        """As it is written."""
        return (*self.parts, *(edge_name(edge, "->") for edge in self.edges))


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


def expert_at(name: str) -> HeadAt | None:
    """``L3E5`` → (3, 5)."""
    match = _EXPERT.fullmatch(name)
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


def circuit_at(text: str) -> Circuit | str:
    """A circuit as it is written, one head or MLP or edge (``L0H2 -> L2H2.k``) a line, ``#`` before comments; the ends
    of an edge are parts of it. A sentence with the line's number where the text is not that."""
    found = circuits_at(text)
    if isinstance(found, str):
        return found
    if len(found) > 1:
        return f"there are {len(found)} circuits in it, {', '.join(name or 'one without a name' for name in found)}: "\
               "name one, or leave the others out"  # fmt: skip
    return next(iter(found.values()), Circuit())


def circuits_at(text: str) -> dict[str, Circuit] | str:
    """Circuits under their names, each ``[name]`` on a line before it; "" before the first such line."""
    found: dict[str, tuple[list[str], list[Edge]]] = {}
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        if words[0] == "[" and words[-1] == "]":
            name = words[1:-1].strip()
            if name in found:
                return f"line {number}: there are two circuits {name}"
            found[name] = ([], [])
            continue
        parts, edges = found.setdefault(name, ([], []))
        if _EDGE.fullmatch(words):
            edge = edge_at(words)
            if isinstance(edge, str):
                return f"line {number}: {edge}"
            edges.append(edge)
            continue
        read = parts_at(words)
        if isinstance(read, str):
            return f"line {number}: {read}"
        if len(read) != 1 or read[0][1] is not None or not is_node(read[0][0]):
            return f"line {number}: “{words}” is no part of a circuit: one head (L1H3), MLP (L1.mlp) or edge "\
                   "(L0H2 -> L2H2.k) a line"  # fmt: skip
        parts.append(read[0][0])
    return {name: circuit(*lines) for name, lines in found.items()}


def circuit(parts: Iterable[str], edges: Iterable[Edge]) -> Circuit:
    """In the model's order, each once, with the parts that edges have at their ends."""
    known = sorted(set(edges), key=lambda edge: (*_read_at(edge[1]), *_written_at(edge[0])))
    return Circuit(in_order([*parts, *(end for edge in known for end in ends_of(edge))]), tuple(known))


def ends_of(edge: Edge) -> tuple[str, ...]:
    """The parts at an edge's ends: the embedding and the logits are none."""
    at = receiver_at(edge[1])
    return tuple(name for name in (edge[0], at.part if at is not None else "") if is_node(name))


def edge_name(edge: Edge, arrow: str = "→") -> str:
    """``L0H2 → L2H2.k``."""
    return f" {arrow} ".join(edge)


def is_edge(text: str) -> bool:
    """Whether a text is written as an edge is."""
    return _EDGE.fullmatch(text.strip()) is not None


def sender_of(name: str) -> str:
    """The sender of an edge; a part as it is."""
    return name.partition(" → ")[0]


def edge_at(text: str) -> Edge | str:
    """``L0H2 -> L2H2.k`` (or ``→``) → the edge; a sentence where it is none."""
    match = _EDGE.fullmatch(text.strip())
    if match is None:
        return f"“{text}” is no edge, such as L0H2 -> L2H2.k"
    read, at = parts_at(match[1]), receiver_at(match[2])
    sender = EMBED if match[1].lower() == EMBED else read[0][0] if isinstance(read, tuple) else ""
    if sender != EMBED and (len(read) != 1 or read[0][1] is not None or not is_node(sender)):
        return f"“{match[1]}” sends nothing: senders are embed, L0H2 (a head) and L0.mlp"
    if at is None:
        return f"“{match[2]}” receives nothing: {RECEIVERS}"
    if not _written_at(sender) < _read_at(at.name):
        return f"{sender} does not come before {at.name}: it sends nothing to it"
    return sender, at.name


def _written_at(sender: str) -> tuple[int, int, int]:
    """Where a sender stands in the model's order."""
    part = part_at(sender)
    return (-1, 0, 0) if part is None else (part.layer, 2 * (part.kind == "mlp") + 1, part.head or 0)


def _read_at(receiver: str) -> tuple[int, int, int]:
    """Where a receiver stands in it: heads read before all heads of their layer write, MLPs after them."""
    at = receiver_at(receiver)
    if at is None or at.layer is None:
        return LAST, 0, 0
    return (at.layer, 2, 0) if at.head is None else (at.layer, 0, 3 * at.head + "qkv".index(at.kind))


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
