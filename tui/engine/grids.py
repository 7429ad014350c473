"""From tensors to a Result: what answers to jobs share. Worker thread only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..circuits.basis import as_index
from ..circuits.errors import Refusal
from ..circuits.ov import Ranked
from ..results import Axis, Grid, Header, Scalar, Table, frozen
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
    """What one row over all outputs promotes and suppresses, then the outputs ``shown`` wherever they rank."""
    ids = (*row.promoted.tolist(), *row.suppressed.tolist(), *shown)
    parts = ["promoted"] * len(row.promoted) + ["suppressed"] * len(row.suppressed) + ["shown"] * len(shown)
    picked = row.values[as_index(ids, row.values)]
    rows = zip(parts, row.ranks(picked).tolist(), bench.output_texts(ids), ids, picked.tolist(), strict=True)
    return Table(header, ("part", "rank", "token", "id", "value"), tuple(rows), bar="value")
