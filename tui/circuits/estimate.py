"""Attribution patching: what every patch would do to a metric, were it linear, from one backward pass.

``Σ (a_other − a_base) · ∂metric/∂a`` at the base run. What is patched within attention (q, k, v, pattern) is carried
exactly as far as z: the softmax is computed again with the patched score, since the gradient of a saturated one is
zero. Weak for the first MLP, blind where effects cancel: always an estimate. Source: definitions.md, "Interventions".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .forward import Edit, Forward, Tape, never
from .patching import HEADS, Cell, Loss, Measured, Pair

POINTS = ("resid_pre", "resid_mid", "attn_out", "mlp_out", "z")


@dataclass(frozen=True, eq=False)
class Slopes:
    """How the metric of a run depends on its activations: gradients, never those of weights."""

    value: Tensor
    """The metric itself, a scalar."""
    at: dict[tuple[str, int], Tensor]
    """Point and layer → ``[n, …]`` as the activation; absent where it does not exist."""


def slopes(
    forward: Forward,
    ids: Tensor,
    reach: Sequence[Tensor],
    value: Measured | Loss,
    check: Callable[[], None] = never,
    points: Sequence[str] = POINTS,
) -> tuple[Tape, Slopes]:
    """One run of ``ids [n]`` and one pass back through it, to these ``points``. Outside inference mode: no gradient
    passes its tensors."""
    tape, seen = Tape(), {}

    def look(point: str, layer: int) -> Edit:
        def looked(x: Tensor) -> Tensor:
            seen[point, layer] = x
            if point == "resid_pre":
                x.register_hook(lambda _: check())  # type: ignore[no-untyped-call]  # cancels the pass back
            return x

        return looked

    edits = {(point, layer): look(point, layer) for point in points for layer in range(forward.n_layers)}
    with torch.enable_grad():
        x = forward.embed(ids[None]).detach().requires_grad_()
        final = forward.run(x, [layer.clone() for layer in reach], edits=edits, check=check, keep=tape)
        metric = value.of(final)[0]
        check()
        found = torch.autograd.grad(metric, list(seen.values()), allow_unused=True)
    for field in fields(tape):
        kept = getattr(tape, field.name)
        if isinstance(kept, list):
            kept[:] = [tensor.detach() for tensor in kept]
    made = {
        place: torch.zeros_like(x[0]) if gradient is None else gradient[0]
        for (place, x), gradient in zip(seen.items(), found, strict=True)
    }
    return tape, Slopes(metric.detach(), made)


def estimates(pair: Pair, slope: Slopes, site: str, cells: Sequence[Cell], check: Callable[[], None] = never) -> Tensor:
    """``[cells]``: what the patch would add to the metric."""
    made: dict[tuple[int, int | None], Tensor] = {}
    out = []
    for cell in cells:
        layer, position = cell.layer, cell.position
        if site in HEADS:
            apart = position if site in ("k", "v") else None  # of the other sites all positions are there at once
            if (layer, apart) not in made:
                check()
                changed = pair.z(site, layer, apart) - pair.base.z[layer]
                made[layer, apart] = (changed * slope.at["z", layer]).sum(-1)
            effect = made[layer, apart][:, pair.heads_of(site, cell)].sum(-1)
            out.append((effect if apart is not None else effect[pair.tokens_of(cell)]).sum())
            continue
        if (layer, None) not in made:
            check()
            made[layer, None] = _neurons(pair, slope, layer) if site == "neuron" else _stream(pair, slope, site, layer)
        effect = made[layer, None][pair.tokens_of(cell)]
        out.append((effect[:, cell.node] if site == "neuron" else effect).sum())
    return torch.stack(out)


def _stream(pair: Pair, slope: Slopes, site: str, layer: int) -> Tensor:
    """``[n]``: the effect of each position's whole activation."""
    name = {"resid_pre": "pre", "resid_mid": "mid"}.get(site, site)
    own, new = (getattr(tape, name)[layer] for tape in (pair.base, pair.other))
    effect: Tensor = ((new - own) * slope.at[site, layer]).sum(-1)
    return effect


def _neurons(pair: Pair, slope: Slopes, layer: int) -> Tensor:
    """``[n, d_mlp]``."""
    own, new, mlp = pair.neurons(layer)
    gradient = slope.at["mlp_out", layer]
    if mlp.post_norm.kind != "none":
        with torch.enable_grad():
            raw = (own @ mlp.W_out + mlp.b_out).detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(mlp.post_norm(raw), raw, gradient)
    return (new - own) * (gradient @ mlp.W_out.mT)
