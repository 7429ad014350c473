"""The MLPs of a folder whose model is not loaded: their matrices as it would have them, and what they compute."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from ..circuits.forward import Edit
from ..circuits.tensors import Norm

if TYPE_CHECKING:
    from .stored import StoredWeights

Act = Callable[[Tensor], Tensor]


def _gelu_new(x: Tensor) -> Tensor:
    """transformers' own formula, operation by operation, so that the last bit is the same."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


ACTS: dict[str, Act] = {
    "gelu": F.gelu,
    "gelu_new": _gelu_new,
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
}
"""As transformers names them."""
LENS_ACTS: dict[str, Act] = {
    **ACTS, "gelu_new": ACTS["gelu_pytorch_tanh"], "solu": lambda x: x * F.softmax(x, dim=-1),
}  # fmt: skip
"""As TransformerLens' native model has them."""


class Inner:
    """The matrices of one layer's MLP as the running model has them, and what they compute."""

    def __init__(self, stored: StoredWeights, layer: int) -> None:
        self._stored, self._layer, self.dtype = stored, layer, stored.dtype
        self.after = stored.layer_norm(layer, stored.family.ln2_post)
        self._kept: dict[str, tuple[Tensor, Tensor | None]] = {}

    def acts(self, y: Tensor) -> Tensor:
        """``[…, d_model]`` through the MLP's norm → ``[…, d_mlp]``: what the neurons put out."""
        family, act = self._stored.family, self._stored.act
        if not family.gate:
            return act(self._times(y, family.up))
        gate = self._times(y, family.gate)
        if not family.up:
            gate, value = gate.chunk(2, dim=-1)
            return value * act(gate)
        return act(gate) * self._times(y, family.up)

    def out(self, acts: Tensor) -> Tensor:
        """What the neurons' activations write, through the norm that follows."""
        return self.after(self._times(acts, self._stored.family.down).float())

    def _times(self, x: Tensor, module: str) -> Tensor:
        stored = self._stored
        if module not in self._kept:
            name, bias = (stored.name_of(self._layer, module, kind) for kind in ("weight", "bias"))
            # Not as inference tensors, whoever asks first: gradients flow through what is multiplied with these.
            with torch.inference_mode(False), torch.no_grad():
                W = stored.running(name)
                # As the running model lays it out: another layout has another last bit.
                self._kept[module] = W.T.contiguous() if stored.lens else W, (
                    stored.running(bias) if bias in stored.shards else None
                )
        W, b = self._kept[module]
        if not stored.family.by_input or stored.lens:
            return F.linear(x, W, b)
        assert b is not None
        return torch.addmm(b, x.reshape(-1, x.shape[-1]), W).view(*x.shape[:-1], W.shape[1])


def through(inner: Inner, y: Tensor, edit: Edit | None = None) -> Tensor:
    """A Block's ``mlp``."""
    acts = inner.acts(y.to(inner.dtype))
    if edit is not None:
        acts = edit(acts.float().reshape(*y.shape[:-1], -1)).to(inner.dtype)
    return inner.out(acts)


def whole_mlp(stored: StoredWeights, layer: int, kept: list[tuple[Inner, Norm]], x: Tensor) -> Tensor:
    """``x [n, d_model]`` of the stream → what the layer's MLP makes of it; its matrices are read at the first use."""
    if not kept:
        kept.append((stored.inner(layer), stored.mlp_norm(layer)))
    inner, before = kept[0]
    with torch.inference_mode():
        return inner.out(inner.acts(before(x).to(inner.dtype)[None]))[0]
