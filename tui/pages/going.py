"""Where parts of the stream, heads and pairs of tokens lead: from one page to another."""

from __future__ import annotations

from dataclasses import replace

from ..declared import Here, Say
from ..names import HeadAt, expert_at, head_at, leads_on, neuron_at, part_at
from ..phrases import row_of
from ..results import Table
from ..selection import Selection
from .neurons import NeuronsLook, NeuronsPage
from .pattern import plain


def to_head(s: Selection, at: HeadAt) -> Selection:
    """A head's pattern."""
    return plain(replace(s, layer=at[0], head=at[1]))


def to_neuron(s: Selection, at: HeadAt) -> Selection | Say:
    """A neuron by number, among those that matter; a sentence where there is none."""
    model = s.model
    if model is None:
        return Say("no model is there yet")
    if model.capabilities.neurons:
        return Say(model.capabilities.neurons)
    layer, neuron = at
    if not (0 <= layer < model.n_layers and 0 <= neuron < model.d_mlp):
        return Say(f"there is no L{layer}N{neuron}: layers 0 to {model.n_layers - 1}, neurons 0 to {model.d_mlp - 1}")
    return s.put(NeuronsLook(at), page=NeuronsPage.name, layer=layer)


def to_part(s: Selection, label: str) -> Selection | Say:
    """A head's pattern (``L3H1``; ``L3.attn`` keeps the head's number), a layer's neurons (``L3.mlp``), one neuron, or
    one expert."""
    if (neuron := neuron_at(label)) is not None:
        return to_neuron(s, neuron)
    if (expert := expert_at(label)) is not None:
        there = to_mlp(s, expert[0])
        return there if isinstance(there, Say) else there.put(NeuronsLook(row=expert[1]))
    part = part_at(label)
    if part is None or part.kind == "bias":
        return Say(f"{label} is no head and no MLP: there is nothing more to open" if label else "")
    if part.kind == "mlp":
        return to_mlp(s, part.layer)
    return to_head(s, (part.layer, s.head or 0 if part.head is None else part.head))


def to_mlp(s: Selection, layer: int) -> Selection | Say:
    """A layer's neurons, or its experts."""
    if s.model is not None and s.model.capabilities.neurons and not s.model.n_experts:
        return Say(s.model.capabilities.neurons)
    return s.put(NeuronsLook(), page=NeuronsPage.name, layer=layer)


def follow(here: Here, table: Table, row: int) -> Selection | Say | None:
    """Where a row of a ranked list of parts leads: to the part, of two to the one at the key if it is one."""
    named = row_of(table, row)
    if "at the key" in named:
        return to_part_of_two(here.s, str(named["query"]), str(named["key"]))
    if "part" in named and "token" not in named:
        return to_part(here.s, str(named["part"]))
    if "head" in named and (at := head_at(str(named["head"]))):
        return to_head(here.s, at)
    return None


def to_part_of_two(s: Selection, query: str, key: str) -> Selection | Say:
    """The part at the key, or that at the query where the key's leads nowhere."""
    return to_part(s, key if leads_on(key) else query)
