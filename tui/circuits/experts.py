"""One layer's MLP as a sum over experts.

    MLP(x) = Σ_e router_e(x) · expert_e(x)       router weights: zero for the experts that were not chosen

Source: Shazeer et al. 2017, "Outrageously Large Neural Networks"; Jiang et al. 2024, "Mixtral of Experts".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Experts:
    """The experts of one layer, as the model itself runs them."""

    count: int
    routed: Callable[[Tensor], Tensor]
    """``x [n, d_model]`` of the stream that reaches the MLP → ``[n, count]``: router weights, 0 where not chosen."""
    writes: Callable[[Tensor], Iterator[Tensor]]
    """As ``x`` → each expert's ``[n, d_model]`` in their order, as added to the stream: router weight included."""


def name(layer: int, expert: int) -> str:
    """``L2E5``."""
    return f"L{layer}E{expert}"
