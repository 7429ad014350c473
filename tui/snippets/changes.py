"""Code for a changed model: hooks that knock parts out and cut edges, before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..engine import jobs
from ..names import layer_at, neuron_at, part_at
from .parts import No, none_is_zero

_HOWS = ("zero", "zero, value biases folded", "scale")


def changed(changes: Sequence[jobs.Change], processed: bool) -> str | No:
    """The hooks of every change, in order; No for one that has none. ``processed``: whether the model's weights are."""
    lines: list[str] = []
    for number, change in enumerate(changes):
        made = list(_hooks(change, processed))
        if not made:
            return No(f"the model is changed ({change}), which hooks of one line do not do: s is the shell command, d "
                      "shows the clean one")  # fmt: skip
        for at, (hook, place, value) in enumerate(made):
            name = f"change_{number}" + (f"_{at}" if at else "")
            lines += [
                "", f"def {name}(value, hook):  # {change}", "    value = value.clone()",
                f"    value[{place}] {value}", "    return value", "", "", f'model.add_hook("{hook}", {name})',
            ]  # fmt: skip
    return "\n".join(lines)


def _hooks(change: jobs.Change, processed: bool) -> Iterator[tuple[str, str, str]]:
    """Where each hook is, what of its value is changed and what it becomes; none for what needs more."""
    if isinstance(change, jobs.CutEdge):
        part = part_at(change.part)
        if part is not None:
            dropped = change.how == "drop"
            hook, value = ("hook_pattern", "= 0") if dropped else ("hook_attn_scores", "= -torch.inf")
            yield f"blocks.{part.layer}.attn.{hook}", f":, {part.head}, {change.query}, {change.key}", value
        return
    if not isinstance(change, jobs.Ablation) or change.how not in _HOWS:
        return
    span = ":" if change.positions is None else str(list(change.positions))
    value = f"*= {change.amount!r}" if change.how == "scale" else "= 0"
    part, neuron, layer = part_at(change.part), neuron_at(change.part), layer_at(change.part)
    if neuron is not None:
        yield f"blocks.{neuron[0]}.mlp.hook_post", f":, {span}, {neuron[1]}", value
    elif part is not None and part.kind == "mlp":
        yield f"blocks.{part.layer}.hook_mlp_out", f":, {span}", value
    elif part is not None and part.kind == "head":
        if change.how == "zero, value biases folded":
            if (change.weights == "processed") != processed:
                return  # the value biases of other weights are others
            group = f"{part.head} // (model.cfg.n_heads // model.W_V.shape[1])"
            value = f"= {none_is_zero('b_V')}[{part.layer}, {group}]"
        yield f"blocks.{part.layer}.attn.hook_z", f":, {span}, {part.head}", value
    elif (part is not None and part.kind == "attn") or layer is not None:
        at = part.layer if part is not None else layer
        if change.how == "zero, value biases folded":
            return
        yield f"blocks.{at}.attn.hook_z", f":, {span}", value
        if part is None:
            yield f"blocks.{at}.hook_mlp_out", f":, {span}", value
