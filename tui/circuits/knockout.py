"""Parts of one layer changed one at a time: a batch of variants that starts from the prompt's own run.

    head h    mid' = pre + post_norm(Σ_i z_i W_O^i + b_O + (z'_h − z_h) W_O^h)
    MLP       post' = mid + mlp_out'

What lies before a variant's change is not computed again: heads start between attention and MLP of their layer. Source:
definitions.md, "Interventions".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .forward import Edits, Forward, merged
from .tensors import Trace


def writes(forward: Forward, trace: Trace, layer: int, z: Tensor, heads: Sequence[int]) -> Tensor:
    """``z [n, heads of the layer, d_head]``, as it becomes → ``[len(heads), n, d_model]``: what each head then writes
    more than in the trace, before a post-norm."""
    block, count = forward.block(layer), z.shape[0]
    apart = (z - trace.z[layer][:count])[:, list(heads)].transpose(0, 1)
    return apart @ block.W_O.view(block.heads, -1, block.W_O.shape[1])[list(heads)]


def variants(
    forward: Forward,
    trace: Trace,
    layer: int,
    heads: Sequence[int],
    z: Tensor,
    mlp_out: Tensor | None,
    rows: slice,
    reach: Sequence[Tensor],
    edits: Edits,
    check: Callable[[], None],
) -> Tensor:
    """The final stream at positions ``rows``, ``[len(heads) (+ 1), rows, d_model]``: with each head changed alone,
    then, where ``mlp_out [n, d_model]`` is given, with the MLP changed alone.

    ``z [n, heads of the layer, d_head]``: as changed heads have it. n: positions that are run, from the first on; with
    causal attention those after ``rows`` need not be. ``edits``: those of the trace itself, in force above.
    """
    n, block = z.shape[0], forward.block(layer)
    last = not edits and rows == slice(n - 1, n)
    pre, attn_out = trace.resid_pre[layer][:n], trace.attn_out[layer][:n]
    more = writes(forward, trace, layer, z, heads)
    if block.post_norm.kind == "none":
        mids = pre + attn_out + more
    else:
        mids = pre + block.post_norm(trace.z[layer][:n].flatten(1) @ block.W_O + block.b_O + more)
    if mlp_out is not None:
        changed = mlp_out
        mids = torch.cat([mids, (pre + attn_out)[None]])

        def last_row(out: Tensor) -> Tensor:
            return torch.cat([out[:-1], changed[None, -out.shape[1] :]])

        edits = merged(edits, {("mlp_out", layer): last_row})
    final = forward.from_mid(pre.expand_as(mids), mids, layer, reach, check, None, last, edits)
    return final[:, -1:] if last else final[:, rows]
