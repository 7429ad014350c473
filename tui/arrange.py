"""A result in the shape that a view draws: the same numbers, other rows and columns. numpy only, nothing computed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .finding import score_column
from .results import Axis, Grid, Header, Result, Scalar, Table, frozen, head_name
from .text import visible

if TYPE_CHECKING:
    import numpy as np
else:
    from .later import numpy as np

_PART = re.compile(r"L(\d+)(?:H(\d+)|\.(attn|bias|mlp))")
_NAMES = {"attn": "attn", "bias": "bias", "mlp": "MLP"}
HEADS = "heads: "
"""Before the name of a score: the shape in which scores of heads are drawn."""
CARD_HEADS = 3
"""Heads of each kind of composition on a card."""
PAIRS = 200
"""Pairs in a ranked list: the rest are too small to be of use."""


def by_layer(grid: Grid, column: int = 0) -> Grid:
    """Parts or heads, of one column, as layer × (heads, attention bias, MLP); parts of no layer are left to lists."""
    places = [_PART.fullmatch(label) for label in grid.rows.labels]
    found = [(int(m[1]), f"H{m[2]}" if m[2] else _NAMES[m[3]], i) for i, m in enumerate(places) if m]
    names = list(dict.fromkeys(name for _, name, _ in found))
    # A bias and the MLP follow the heads of the first layer that has them: at the end in every model.
    names.sort(key=lambda name: (name == "MLP", name == "bias", int(name[1:]) if name[0] == "H" else 0))
    layers = 1 + max((layer for layer, _, _ in found), default=-1)
    values = np.full((layers, len(names)), np.nan, dtype=np.float32)
    for layer, name, row in found:
        values[layer, names.index(name)] = grid.values[row, column]
    rows = Axis("layer", tuple(head_name(layer) for layer in range(layers)))
    cols = Axis("part" if grid.rows.name != "head" else "head", tuple(names))
    # One column of scores may be around zero (z, copying) while the others are shares.
    diverging = grid.diverging if grid.rows.name != "head" else bool(np.nanmin(values, initial=0.0) < 0)
    return Grid(_of_column(grid, column), frozen(values), rows, cols, diverging)


def _of_column(grid: Grid, column: int) -> Header:
    """The header with the meaning of one score alone, where the details explain every score."""
    name = grid.cols.labels[column]
    if name not in grid.header.details:
        return grid.header
    said = str(grid.header.details[name])
    others = {key: value for key, value in grid.header.details.items() if key not in grid.cols.labels}
    return replace(grid.header, explanation=f"row = layer, column = head: {said}", details=others)


def part_at(layer: int, column: str) -> str:
    """The part that a cell of ``by_layer`` is: ``L2H3``, ``L2.mlp``."""
    kinds = {name: kind for kind, name in _NAMES.items()}
    return f"L{layer}{column}" if column not in kinds else f"L{layer}.{kinds[column]}"


def ranked(grid: Grid) -> Table:
    """Parts ``[part, columns]`` as rows, the largest effect first whatever its sign."""
    order = np.argsort(-np.abs(grid.values[:, 0]), kind="stable").tolist()
    rows: list[tuple[Scalar, ...]] = [(grid.rows.labels[i], *grid.values[i].tolist()) for i in order]
    return Table(grid.header, (grid.rows.name, *grid.cols.labels), tuple(rows), bar=grid.cols.labels[0])


def ranked_pairs(grid: Grid) -> Table:
    """Cells of a matrix of components as rows, the largest first whatever its sign."""
    flat = np.abs(grid.values).ravel()
    order = np.argsort(-flat, kind="stable")[:PAIRS].tolist()
    width = grid.values.shape[1]
    rows: list[tuple[Scalar, ...]] = [
        (grid.rows.labels[i // width], grid.cols.labels[i % width], float(grid.values[i // width, i % width]))
        for i in order
    ]
    return Table(grid.header, ("at the query", "at the key", "score"), tuple(rows), bar="score")


def ranked_heads(grid: Grid, column: int) -> Table:
    """Heads by one column, the largest first, with that column's number and the others beside it."""
    values = np.where(np.isnan(grid.values[:, column]), -np.inf, grid.values[:, column])
    order = np.argsort(-values, kind="stable").tolist()
    columns = [column, *(i for i in range(len(grid.cols)) if i != column)]
    rows: list[tuple[Scalar, ...]] = [
        (grid.rows.labels[i], *(float(grid.values[i, k]) for k in columns)) for i in order
    ]
    names = tuple(grid.cols.labels[k] for k in columns)
    return Table(grid.header, ("head", *names), tuple(rows), bar=names[0])


def for_view(result: Result | None, shape: str) -> Result | None:
    """The result as the main picture shows it. ``shape``: a view, or ``heads: SCORE`` for a column of scores."""
    if isinstance(result, Grid) and shape == "attribution":
        neurons = any("N" in label for label in result.rows.labels)
        return ranked_in_order(result) if neurons else by_layer(result)
    if isinstance(result, Grid) and shape.startswith(HEADS):
        return by_layer(result, score_column(result, shape.removeprefix(HEADS)))
    return result


def ranked_in_order(grid: Grid) -> Table:
    """Rows that are ranked already (neurons, then the others and the bias), as a table."""
    rows: list[tuple[Scalar, ...]] = [
        (label, *line.tolist()) for label, line in zip(grid.rows.labels, grid.values, strict=True)
    ]
    return Table(grid.header, (grid.rows.name, *grid.cols.labels), tuple(rows), bar=grid.cols.labels[0])


def picked(table: Table, columns: dict[str, str], bar: str | None = None) -> Table:
    """Some columns of a table, under shorter names; without bars there is room for three numbers."""
    at = [table.columns.index(name) for name in columns]
    rows = tuple(tuple(row[i] for i in at) for row in table.rows)
    return Table(table.header, tuple(columns.values()), rows, bar)


def card(results: Mapping[str, Result | None], name: str) -> Table | None:
    """What is known of a head, section by section, as rows ``what``, ``of``, ``value``; None while nothing is."""
    rows: list[tuple[Scalar, ...]] = []
    header = None
    for section, result in results.items():
        if isinstance(result, Grid) and section in ("scores", "copying") and name in result.rows.labels:
            line = result.values[result.rows.labels.index(name)].tolist()
            rows += [(section, score, value) for score, value in zip(result.cols.labels, line, strict=True)]
        elif isinstance(result, Grid) and section != "pattern":  # composition: the heads that stand out most
            best = ranked_heads(result, result.cols.labels.index("z")).rows[:CARD_HEADS]
            rows += [(section, row[0], row[1]) for row in best]
        elif isinstance(result, Table):
            value = result.columns.index("value")
            for row in result.rows:
                rows.append((section, " → ".join(visible(cell) for cell in row if isinstance(cell, str)), row[value]))
        header = header or (result.header if isinstance(result, Grid | Table) else None)
    return Table(header, ("what", "of", "value"), tuple(rows)) if header is not None and rows else None


def for_panel(result: Result | None, name: str = "") -> Result | None:
    """A result as the narrow side panel shows it; of token tables the token with its rank and number, no ids."""
    if isinstance(result, Grid) and name.startswith(HEADS):
        return ranked_heads(result, score_column(result, name.removeprefix(HEADS)))
    if isinstance(result, Grid):
        return ranked(result) if name == "ranked" else ranked_pairs(result) if name == "pairs" else result
    if name == "sources" and isinstance(result, Table):
        return picked(result, {"source": "source", "contribution": "gives", "pattern": "pattern", "OV": "OV"})
    if name == "contexts" and isinstance(result, Table):
        return picked(result, {"context": "context", "attention": "attention"}, "attention")
    if name == "singular directions" and isinstance(result, Table):
        return picked(result, {"side": "side", "token": "token", "value": "value"}, "value")
    if not isinstance(result, Table) or "token" not in result.columns:
        return result
    kept = [column for column in ("rank", "token", result.bar) if column in result.columns]
    at = [result.columns.index(column) for column in kept if column is not None]
    part = result.columns.index("part") if "part" in result.columns else None
    rows = [row for row in result.rows if part is None or row[part] != "shown"]
    rows.sort(key=lambda row: row[at[0]])  # type: ignore[arg-type, return-value]
    columns = tuple(result.columns[index] for index in at)
    return Table(result.header, columns, tuple(tuple(row[index] for index in at) for row in rows), result.bar)
