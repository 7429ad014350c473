"""A result in the shape in which it is drawn: the same numbers, other rows and columns. numpy only, nothing computed.

What was arranged is kept for a while: an equal object would be drawn again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from .names import part_at
from .results import (
    Axis,
    Curve,
    Gallery,
    Graph,
    Grid,
    Header,
    Limits,
    Link,
    Result,
    Scalar,
    Table,
    frozen,
    head_name,
    none_above,
)
from .text import visible

if TYPE_CHECKING:
    import numpy as np
else:
    from .later import numpy as np

CARD_HEADS = 3
"""Heads of each kind of composition on a card."""
PAIRS = 200
"""Pairs in a ranked list: the rest are too small to be of use."""
KEPT = 4
"""Arrangements of a kind that are kept."""
SHORT = {"logit difference": "logit diff", "log-probability": "log-prob", "probability": "prob"}
"""Metrics as they stand over columns."""
_NODE = re.compile(r"(L\d+)(.+)")


@lru_cache(KEPT)
def by_layer(grid: Grid, column: int = 0) -> Grid:
    """Parts or heads, of one column, as layer × (heads, attention bias, MLP); parts of no layer are left to lists."""
    found = [(part, i) for i, label in enumerate(grid.rows.labels) if (part := part_at(label)) is not None]
    names = list(dict.fromkeys(part.column for part, _ in found))
    # A bias and the MLP follow the heads of the first layer that has them: at the end in every model.
    names.sort(key=lambda name: (name == "MLP", name == "bias", int(name[1:]) if name[0] == "H" else 0))
    layers = 1 + max((part.layer for part, _ in found), default=-1)
    values = np.full((layers, len(names)), np.nan, dtype=np.float32)
    for part, row in found:
        values[part.layer, names.index(part.column)] = grid.values[row, column]
    heads = grid.rows.name == "head"
    rows = Axis("layer", tuple(head_name(layer) for layer in range(layers)))
    cols = Axis("head" if heads else "part", tuple(names))
    # One column of scores may be around zero (z, copying) while the others are shares.
    limits = grid.limits_of(column)
    diverging = (limits[0] if limits else float(np.nanmin(values, initial=0.0))) < 0 if heads else grid.diverging
    header = _of_column(grid.header, grid.cols.labels[column], grid.cols.labels)
    made = Grid(header, frozen(values), rows, cols, diverging, limits=limits)
    as_drawn = header.explanation.replace("row = head, best first", "row = layer, column = head")
    header = replace(header, explanation=as_drawn)
    made = replace(made, header=header)
    said = none_above(made)
    if not said:
        return made
    return replace(made, header=replace(header, explanation=f"{said} · {header.explanation}"))


def _of_column(header: Header, name: str, others: Collection[str]) -> Header:
    """The header with the meaning of one score alone, where the details explain every score."""
    if name not in header.details:
        return header
    said = str(header.details[name])
    kept = {key: value for key, value in header.details.items() if key not in others}
    return replace(header, explanation=f"row = layer, column = head: {said}", details=kept)


@lru_cache(KEPT)
def ranked(grid: Grid, column: int = 0) -> Table:
    """Parts ``[part, columns]`` as rows, the largest effect in one column first whatever its sign; those that are not
    known yet are last."""
    return _rows(grid, np.argsort(-np.abs(grid.values[:, column]), kind="stable").tolist())


@lru_cache(KEPT)
def ranked_in_order(grid: Grid) -> Table:
    """Rows that are ranked already (neurons, then the others and the bias), as a table."""
    return _rows(grid, range(len(grid.rows)))


def _rows(grid: Grid, order: range | list[int]) -> Table:
    rows: list[tuple[Scalar, ...]] = [(grid.rows.labels[i], *grid.values[i].tolist()) for i in order]
    return Table(grid.header, (grid.rows.name, *grid.cols.labels), tuple(rows), bar=grid.cols.labels[0])


@lru_cache(KEPT)
def ranked_pairs(grid: Grid) -> Table:
    """Cells of a matrix of components as rows, the largest first whatever its sign."""
    flat = np.abs(grid.values).ravel()
    order = np.argsort(-flat, kind="stable")[:PAIRS].tolist()
    width = grid.values.shape[1]
    rows: list[tuple[Scalar, ...]] = [
        (grid.rows.labels[i // width], grid.cols.labels[i % width], float(grid.values[i // width, i % width]))
        for i in order
    ]
    return Table(grid.header, ("query", "key", "score"), tuple(rows), bar="score")


@lru_cache(KEPT)
def ranked_heads(grid: Grid, column: int) -> Table:
    """Heads by one column, the largest first, with that column's number and the others beside it."""
    values = np.where(np.isnan(grid.values[:, column]), -np.inf, grid.values[:, column])
    order = np.argsort(-values, kind="stable").tolist()
    columns = [column, *(i for i in range(len(grid.cols)) if i != column)]
    rows: list[tuple[Scalar, ...]] = [
        (grid.rows.labels[i], *(float(grid.values[i, k]) for k in columns)) for i in order
    ]
    names = tuple(grid.cols.labels[k] for k in columns)
    return Table(grid.header, ("head", *names), tuple(rows), bar=names[0], limits=grid.limits_of(column))


@lru_cache(KEPT)
def patched(grid: Grid, estimate: Grid | None) -> Table:
    """Cells of a grid of patches, the largest effect first: each exactly, where it is known, and as estimated; then by
    the other metrics."""
    known = np.array([[not mark for mark in row] for row in grid.text]) if grid.text else np.isfinite(grid.values)
    unchanged = 0.0 if grid.diverging else 1.0
    order = np.argsort(-np.nan_to_num(np.abs(grid.values - unchanged)).ravel(), kind="stable")[:PAIRS].tolist()
    rows: list[tuple[Scalar, ...]] = []
    for row, col in (divmod(i, grid.values.shape[1]) for i in order):
        value = float(grid.values[row, col])
        if value == value:
            guess = None if estimate is None else float(estimate.values[row, col])
            others = (float(values[row, col]) for values in grid.beside.values())
            rows.append((patched_name(grid, row, col), "exact" if known[row, col] else "≈", value, guess, *others))
    columns = ("part", "is", "recovered", "≈", *(SHORT.get(name, name) for name in grid.beside))
    return Table(grid.header, columns, tuple(rows), bar="recovered")


@lru_cache(KEPT)
def nodes_by_layer(grid: Grid) -> Grid:
    """Heads or layers patched over pairs, of the first column, as layer × head, or as a column of layers."""
    cells = [_NODE.fullmatch(label) for label in grid.rows.labels]
    layers, nodes = (list(dict.fromkeys(cell[i] for cell in cells if cell)) for i in (1, 2))
    heads = nodes[0].startswith("H")
    name = "head" if not heads or "–" not in nodes[0] else "key/value head"
    cols = Axis(name if heads else "part", tuple(nodes))
    return replace(grid, values=frozen(grid.values[:, 0].reshape(len(layers), len(nodes))),
                   rows=Axis("layer", tuple(layers)), cols=cols, column_limits=())  # fmt: skip


@lru_cache(KEPT)
def patched_over(grid: Grid) -> Table:
    """Nodes patched over pairs, the largest effect first."""
    unchanged = 0.0 if grid.diverging else 1.0
    order = np.argsort(-np.abs(grid.values[:, 0] - unchanged), kind="stable").tolist()
    return Table(grid.header, (grid.rows.name, "ratio", *grid.cols.labels[1:]),
                 tuple((grid.rows.labels[i], *grid.values[i].tolist()) for i in order), bar="ratio")  # fmt: skip


@lru_cache(KEPT)
def with_words(grid: Grid, words: str) -> Grid:
    """The grid with more before its explanation."""
    return replace(grid, header=replace(grid.header, explanation=f"{words} · {grid.header.explanation}"))


def patched_name(grid: Grid, row: int, col: int) -> str:
    """What a cell of a grid of patches is called: ``L1H3``, ``L1H3 at ·is (5)``, ``L2N17``."""
    first, second = grid.rows.labels[row], grid.cols.labels[col]
    if grid.cols.name == "position":
        return f"{first} at {second} ({col})"
    return f"{first}{second}" if grid.cols.name.endswith("head") or grid.cols.name == "part" else first


@lru_cache(KEPT)
def sent(grid: Grid, estimate: Grid | None) -> Table:
    """Senders to a receiver, the largest effect first: exactly, and as estimated."""
    value, unchanged = grid.values[:, 0], 0.0 if grid.diverging else 1.0
    order = np.argsort(-np.abs(np.nan_to_num(value, nan=unchanged) - unchanged), kind="stable").tolist()
    rows: list[tuple[Scalar, ...]] = [
        (grid.rows.labels[i], float(value[i]), *(() if estimate is None else (float(estimate.values[i, 0]),)))
        for i in order if value[i] == value[i]
    ]  # fmt: skip
    columns = ("part", "recovered") if estimate is None else ("part", "recovered", "estimate")
    return Table(grid.header, columns, tuple(rows), bar="recovered")


@lru_cache(KEPT)
def picked(table: Table, columns: tuple[tuple[str, str], ...], bar: str | None = None, tokens: str = "") -> Table:
    """Some columns of a table, under shorter names; without bars there is room for three numbers. ``tokens``: a column
    of tokens, whose blanks are to be seen where words beside them stand as they are."""
    at = [table.columns.index(name) for name, _ in columns]
    tokened = table.columns.index(tokens) if tokens else -1
    rows = tuple(tuple(visible(str(row[i])) if i == tokened else row[i] for i in at) for row in table.rows)
    return Table(table.header, tuple(name for _, name in columns), rows, bar)


@lru_cache(KEPT)
def tokens_alone(result: Result) -> Result:
    """Of token tables the token with its rank and number, no ids: there is little room at the side."""
    if not isinstance(result, Table) or "token" not in result.columns:
        return result
    kept = [column for column in ("rank", "token", result.bar) if column in result.columns]
    at = [result.columns.index(column) for column in kept if column is not None]
    part = result.columns.index("part") if "part" in result.columns else None
    rows = [row for row in result.rows if part is None or row[part] != "shown"]
    rows.sort(key=lambda row: row[at[0]])  # type: ignore[arg-type, return-value]
    columns = tuple(result.columns[index] for index in at)
    return Table(result.header, columns, tuple(tuple(row[index] for index in at) for row in rows), result.bar)


def card(results: Mapping[str, Result | None], name: str) -> Table | None:
    """What is known of a head, section by section, as rows ``what``, ``of``, ``value``; None while nothing is."""
    rows: list[tuple[Scalar, ...]] = []
    header = None
    for section, result in results.items():
        if isinstance(result, Grid) and section in ("scores", "copying") and name in result.rows.labels:
            line = result.values[result.rows.labels.index(name)].tolist()
            units = {"entropy": "nats", "copying": "−1…1"}
            rows += [(f"{section}, {units.get(score, 'share')}", score, value)
                     for score, value in zip(result.cols.labels, line, strict=True)]  # fmt: skip
        elif isinstance(result, Grid) and section != "pattern":  # composition: the heads that stand out most
            best = ranked_heads(result, result.cols.labels.index("z")).rows[:CARD_HEADS]
            rows += [(f"{section}, z", row[0], row[1]) for row in best]
        elif isinstance(result, Table):
            value = result.columns.index("value")
            for row in result.rows:
                unit = "logit" if section.startswith("OV") else "score"
                pair = " → ".join(visible(cell) for cell in row if isinstance(cell, str))
                rows.append((f"{section}, {unit}", pair, row[value]))
        header = header or (result.header if isinstance(result, Grid | Table) else None)
    return Table(header, ("what", "of", "value"), tuple(rows)) if header is not None and rows else None


@lru_cache(KEPT)
def on_scale(grid: Grid, limits: Limits) -> Grid:
    """With another colour scale."""
    return replace(grid, limits=limits)


def shared_limits(one: Result | None, other: Result | None) -> Limits | None:
    """A colour scale for both of two matrices of one kind; None where they have scales of their own."""
    if not isinstance(one, Grid) or not isinstance(other, Grid) or one.diverging != other.diverging:
        return None
    if one.limits is not None or other.limits is not None or one.column_limits or other.column_limits:
        return None
    known = np.concatenate([grid.values[np.isfinite(grid.values)] for grid in (one, other)])
    if not known.size:
        return None
    most = float(np.abs(known).max())
    return (-most, most) if one.diverging else (min(0.0, float(known.min())), float(known.max()))


# --- the changed model against the clean one ---

Sides = tuple[str, str]
"""What the two results of a difference are called."""
CHANGED: Sides = ("changed", "clean")
PINNED: Sides = ("this", "pinned")


@lru_cache(KEPT)
def difference(changed: Result, clean: Result, sides: Sides = CHANGED, ranked: bool = True) -> Result | None:
    """The changed result minus the clean one, cell by cell, row by row of one name, curve by curve; None where they
    have nothing to do with each other. A row that only the changed one has (a vector that was added) counts as it
    is. ``ranked``: the rows of a list by the size of their change, else in their own order."""
    if isinstance(changed, Grid) and isinstance(clean, Grid):
        return _grids(changed, clean, sides)
    if isinstance(changed, Gallery) and isinstance(clean, Gallery) and len(changed.grids) == len(clean.grids):
        pairs = [_grids(one, other, sides) for one, other in zip(changed.grids, clean.grids, strict=True)]
        grids = tuple(grid for grid in pairs if grid is not None)
        return Gallery(_as_difference(changed.header, sides), grids) if len(grids) == len(pairs) else None
    if isinstance(changed, Table) and isinstance(clean, Table):
        return _tables(changed, clean, sides, ranked)
    if isinstance(changed, Curve) and isinstance(clean, Curve) and np.array_equal(changed.x, clean.x):
        series = {
            name: frozen(values - clean.series[name]) for name, values in changed.series.items() if name in clean.series
        }
        header = _as_difference(changed.header, sides)
        return replace(changed, header=header, y_name=f"Δ {changed.y_name}", series=series)
    return None


def _as_difference(header: Header, sides: Sides) -> Header:
    """Identities hold for each of the two, not for their difference."""
    said = " − ".join(sides)
    return replace(
        header,
        quantity=f"{header.quantity}, {said}",
        formula=f"{header.formula}, {said}",
        explanation=f"{said}: {header.explanation}",
        checks={},
        details={},
    )


def _grids(changed: Grid, clean: Grid, sides: Sides) -> Grid | None:
    if changed.cols.labels != clean.cols.labels or not set(clean.rows.labels) <= set(changed.rows.labels):
        return None
    if changed.rows.labels == clean.rows.labels:
        before, texts = clean.values, clean.text
    else:
        at = {label: row for row, label in enumerate(clean.rows.labels)}
        before = np.stack([
            clean.values[at[label]] if label in at else np.zeros(len(clean.cols)) for label in changed.rows.labels
        ])  # fmt: skip
        texts = None
    text = None
    if changed.text is not None and texts is not None:  # what is said in another way now
        text = tuple(
            tuple(new if new != old else "" for new, old in zip(*lines, strict=True))
            for lines in zip(changed.text, texts, strict=True)
        )
    header = _as_difference(changed.header, sides)
    return Grid(header, frozen(changed.values - before), changed.rows, changed.cols, True, text)


def _tables(changed: Table, clean: Table, sides: Sides, ranked: bool) -> Table | None:
    """Rows by their texts and ids, where ``ranked`` the largest change first; what one of the two lists does not have
    is unknown."""
    first = changed.rows[0] if changed.rows else ()
    numbers = [name for name, cell in zip(changed.columns, first, strict=False) if isinstance(cell, float)]
    measured = changed.bar or (numbers[0] if numbers else None)
    if measured is None or changed.columns != clean.columns:
        return None
    value = changed.columns.index(measured)
    keys = [i for i, name in enumerate(changed.columns) if name not in (*numbers, "rank") and i != value]

    def known(table: Table) -> dict[tuple[Scalar, ...], Scalar]:
        return {tuple(row[i] for i in keys): row[value] for row in table.rows}

    new, old = known(changed), known(clean)
    rows: list[tuple[Scalar, ...]] = []
    for key in dict.fromkeys((*new, *old)):
        pair = (new.get(key), old.get(key))
        apart = pair[0] - pair[1] if isinstance(pair[0], float) and isinstance(pair[1], float) else None
        rows.append((*key, apart, *pair))
    if ranked:
        rows.sort(key=lambda row: -abs(row[len(keys)] or 0.0))  # type: ignore[arg-type]
    columns = (*(changed.columns[i] for i in keys), f"Δ {measured}", *sides)
    return Table(_as_difference(changed.header, sides), columns, tuple(rows), bar=f"Δ {measured}")


def graph(table: Table, nodes: tuple[str, ...], least: float = 0.0) -> Graph:
    """Edges (sender, receiver, effect) between nodes, those of one pair together; without those that are less than a
    share of the strongest, which the explanation then says."""
    effects = [row[2] for row in table.rows if isinstance(row[2], float)]
    bar = least * max(map(abs, effects), default=0.0)
    found: dict[tuple[int, int], list[tuple[str, float | None]]] = {}
    out = 0
    for sender, receiver, effect in table.rows:
        part, _, side = str(receiver).partition(".")
        name, side = (part, side) if side in ("q", "k", "v") else (str(receiver), "")
        value = effect if isinstance(effect, float) else None
        if value is not None and abs(value) < bar:
            out += 1
        else:
            found.setdefault((nodes.index(str(sender)), nodes.index(name)), []).append((side, value))
    header = table.header
    if out:
        said = f"below {100 * least:g} % of the strongest, not drawn: {out}"
        header = replace(header, explanation=f"{said} · {header.explanation}")
    links = tuple(Link(*ends, tuple(sides)) for ends, sides in sorted(found.items()))
    return Graph(header, nodes, links, str(table.columns[2]))
