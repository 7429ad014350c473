"""From tensors to a Result: what answers to jobs share. Worker thread only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..circuits.basis import as_index
from ..circuits.errors import Refusal
from ..circuits.ov import Ranked
from ..circuits.tensors import HeadWeights
from ..results import Axis, Grid, Header, Scalar, Table, frozen, head_name
from .jobs import Basis, Weights
from .opened import OpenModel

CELLS = 100_000_000
"""Largest grid: 400 MB of float32."""


def numbers(values: Tensor) -> np.ndarray:
    """A tensor as a read-only float32 array of its own."""
    return frozen(values.to("cpu", torch.float32).numpy())


def grid(header: Header, values: Tensor, rows: Axis, cols: Axis, diverging: bool = True) -> Grid:
    return Grid(header, numbers(values), rows, cols, diverging)


def fits(rows: int, cols: int) -> None:
    if rows * cols > CELLS:
        raise Refusal(f"{rows:,} × {cols:,} cells are more than the {CELLS:,} of one grid.", "List fewer tokens.")


def head_axis(bench: OpenModel, layers: Sequence[int] | None = None, name: str = "head") -> Axis:
    """Every head of some layers (None: of all), ``L0H0`` …"""
    among = range(bench.info.n_layers) if layers is None else layers
    return Axis(name, tuple(head_name(layer, head) for layer in among for head in range(bench.info.n_heads)))


def refuse_basis(basis: Basis, layer: int | None) -> None:
    """Refuse the basis that a layer does not read; ``layer`` None: all of them."""
    if basis == "effective" and layer == 0:
        raise Refusal("Basis effective is what heads after MLP 0 read: not for layer 0.", "Use basis embed.")


def refuse_offset(bench: OpenModel, offset: int) -> None:
    if bench.info.positions == "rotary" and not 0 <= offset < bench.info.n_ctx:
        raise Refusal(
            f"Offset {offset} is not a distance within the context of {bench.info.n_ctx} positions.",
            "Use an offset of 0 or more.",
        )


def ov_details(head: HeadWeights | None, weights: Weights, bench: OpenModel) -> dict[str, Scalar]:
    """Where this model's OV is not the plain product, or its rows keep an offset; ``head`` None: the direct path."""
    normed = "head" if head is not None and head.post_w is not None else ""
    return write_details(normed, "W_O", weights == "processed", bench)


def write_details(normed: str, weight: str, processed: bool, bench: OpenModel) -> dict[str, Scalar]:
    """``normed``: whose write goes through a post-norm, "" where nobody's does; ``weight``: what it writes with."""
    out: dict[str, Scalar] = {}
    if normed:
        gain = f"its w is in {weight}" if processed else "its w is left out as well"
        out["post-norm"] = f"what the {normed} writes is normalised; {gain}, the scale is left out"
    if not processed:
        out["W_U"] = "as stored: each row has an offset that no probability depends on"
    elif bench.ends.logit_cap:
        out["W_U"] = bench.of_outputs("not centred over the vocabulary: logits are soft-capped")
    return out


def ranked_table(header: Header, row: Ranked, bench: OpenModel, shown: tuple[int, ...] = ()) -> Table:
    """What one row over all outputs promotes and suppresses, none twice, then those ``shown`` wherever they rank."""
    promoted, lowest = row.promoted.tolist(), row.suppressed.tolist()
    suppressed = [i for i in lowest if i not in promoted]
    ids = (*promoted, *suppressed, *shown)
    parts = ["promoted"] * len(promoted) + ["suppressed"] * len(suppressed) + ["shown"] * len(shown)
    picked = row.values[as_index(ids, row.values)]
    rows = zip(parts, row.ranks(picked).tolist(), bench.output_texts(ids), ids, picked.tolist(), strict=True)
    return Table(header, ("part", "rank", "token", "id", "value"), tuple(rows), bar="value")
