"""A result as bytes: JSON, CSV, NPZ, SVG or plain text. The same for the headless export and for the app's ``e``.

Numpy only; nothing is computed here. Every format but SVG carries the exact float32 values.
"""

from __future__ import annotations

import csv
import io
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .results import Axis, Curve, Gallery, Graph, Grid, Header, ModelInfo, Result, Scalar, Table, Tokens
from .text import visible, width

SIZES = ("value", "score", "sum", "logit_difference_clean", "logit_difference_ablated")
"""Checks that are numbers of their own; the others are errors."""
FORMATS = ("json", "csv", "npz", "svg", "txt")
PICTURE = (120, 40)
"""Columns and lines of an SVG."""
ID = Axis("column", ("id",))
"""The one column of a list of tokens."""


def format_of(path: Path) -> str:
    """The format that a file's ending names."""
    ending = path.suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise ValueError(f"the ending says no format; use one of .{', .'.join(FORMATS)}")
    return ending


def encode(result: Result, form: str, model: ModelInfo, tokens: Tokens | None = None, prompt: str = "") -> bytes:
    """The whole file. A picture or table that a result does not have: ValueError."""
    result = _with_bos(result, tokens)
    if form == "npz":
        return _npz(result, model, tokens, prompt)
    if form == "json":
        return (json.dumps(document(result, model, tokens, prompt), allow_nan=False) + "\n").encode("ascii")
    if form == "csv":
        return _csv(result).encode("utf-8", "backslashreplace")
    if form == "svg":
        return svg(result).encode("utf-8", "backslashreplace")
    return text(result).encode("utf-8", "backslashreplace")


def _with_bos(result: Result, tokens: Tokens | None) -> Result:
    """Weights alone do not know whether the listed tokens began with a BOS, nor a run who brought it; a file does."""
    if tokens is None or isinstance(result, Tokens | ModelInfo):
        return result
    known = result.header.convention
    said = {name: value for name, value in _bos(tokens).items() if name not in known}
    return replace(result, header=replace(result.header, convention={**said, **known})) if said else result


def _bos(tokens: Tokens) -> dict[str, Scalar]:
    brought: dict[str, Scalar] = {"bos from": f"the {tokens.bos_from}"} if tokens.bos_from else {}
    return {"bos": tokens.bos} | brought | ({"chat": True} if tokens.chat else {})


def document(result: Result, model: ModelInfo, tokens: Tokens | None, prompt: str) -> dict[str, Any]:
    """What the JSON file holds; masked cells are None."""
    if isinstance(result, Tokens):
        tokens = result
    header = _header(result, model)
    so_far = {"partial": True} if header.partial else {}
    out: dict[str, Any] = {
        "view": header.view,
        **so_far,
        "model": model.name,
        "head": header.head,
        "prompt": prompt,
        "tokens": _tokens(tokens),
    }
    if isinstance(result, Tokens):  # as a matrix of one column, so that every reader of matrices reads it
        rows = Axis("token", result.texts, result.ids)
        out |= {"rows": _axis(rows), "cols": _axis(ID), "values": [[token] for token in result.ids]}
    elif isinstance(result, Grid):
        out |= {"rows": _axis(result.rows), "cols": _axis(result.cols), "values": _matrix(result.values)}
        if result.text is not None:
            out["text"] = [list(row) for row in result.text]
        if result.beside:
            out["beside"] = {name: _matrix(values) for name, values in result.beside.items()}
    elif isinstance(result, Gallery):
        out["grids"] = [
            {
                "head": grid.header.head,
                "rows": _axis(grid.rows),
                "cols": _axis(grid.cols),
                "values": _matrix(grid.values),
            }
            for grid in result.grids
        ]
    elif isinstance(result, Table):
        out |= {"columns": list(result.columns), "values": [[_finite(cell) for cell in row] for row in result.rows]}
    elif isinstance(result, Curve):
        series = {name: _matrix(values[None])[0] for name, values in result.series.items()}
        out |= {
            "x": {"name": result.x_name, "values": _matrix(result.x[None])[0]},
            "y": result.y_name,
            "series": series,
        }
    return out | _meaning(header)


def _meaning(header: Header) -> dict[str, Any]:
    return {
        "quantity": header.quantity,
        "formula": header.formula,
        "unit": header.unit,
        "explanation": header.explanation,
        "convention": dict(header.convention),
        "checks": {name: _finite(value) for name, value in header.checks.items()},
        "details": {name: _finite(value) for name, value in header.details.items()},
        "versions": dict(versions()),
    }


@lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """What the numbers were computed with; read from the packages' metadata, so that nothing is imported."""
    out = {"circuit-tui": __version__}
    for name in ("torch", "transformer-lens", "transformers", "numpy"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            out[name] = "unknown"
    return out | {"python": platform.python_version()}


def _header(result: Result, model: ModelInfo) -> Header:
    if isinstance(result, Tokens):
        convention: dict[str, Scalar] = _bos(result) | {"dtype": model.key.dtype, "device": model.key.device}
        return Header("tokens", "tokens", "", convention=convention)
    if isinstance(result, ModelInfo):
        return Header("model", "model", "")
    return result.header


def _tokens(tokens: Tokens | None) -> list[dict[str, Any]]:
    if tokens is None:
        return []
    out: list[dict[str, Any]] = [{"id": i, "text": word} for i, word in zip(tokens.ids, tokens.texts, strict=True)]
    for token, of_template in zip(out, tokens.template, strict=False):
        token["template"] = of_template
    return out


def _axis(axis: Axis) -> dict[str, Any]:
    return {"name": axis.name, "labels": list(axis.labels)} | ({} if axis.ids is None else {"ids": list(axis.ids)})


def _matrix(values: np.ndarray) -> list[list[float | None]]:
    if np.isfinite(values).all():
        rows: list[list[float | None]] = values.tolist()
        return rows
    return [[cell if math.isfinite(cell) else None for cell in row] for row in values.tolist()]


def _finite(value: Scalar) -> Scalar:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _npz(result: Result, model: ModelInfo, tokens: Tokens | None, prompt: str) -> bytes:
    """``values``, ``rows``, ``cols``, ``text`` where cells have one, the rest as a JSON string ``meta``; of a table an
    array a column."""
    arrays: dict[str, np.ndarray] = {}
    if isinstance(result, Grid):
        arrays = {"values": result.values, "rows": _words(result.rows.labels), "cols": _words(result.cols.labels)}
        if result.text is not None:
            arrays["text"] = np.array([_words(row) for row in result.text])
        arrays |= {f"beside {name}": values for name, values in result.beside.items()}
    elif isinstance(result, Gallery) and result.grids:
        first = result.grids[0]
        arrays = {
            "values": np.stack([grid.values for grid in result.grids]),
            "heads": _words([grid.header.head or "" for grid in result.grids]),
            "rows": _words(first.rows.labels),
            "cols": _words(first.cols.labels),
        }
    elif isinstance(result, Table):
        for index, name in enumerate(result.columns):
            column = [row[index] for row in result.rows]
            arrays[name] = _words(column) if any(isinstance(cell, str) for cell in column) else np.array(column)
    elif isinstance(result, Curve):
        arrays = {"x": result.x, **{f"y{i}": values for i, values in enumerate(result.series.values())}}
    elif isinstance(result, Tokens):
        ids = np.array(result.ids, dtype=np.int64)[:, None]
        arrays = {"values": ids, "rows": _words(result.texts), "cols": _words(ID.labels)}
    meta = document(result, model, tokens, prompt)
    for name in ("values", "text", "beside", "grids", "x"):
        meta.pop(name, None)
    if isinstance(result, Curve):
        meta["series"] = list(result.series)
    out = io.BytesIO()
    with_meta = {**arrays, "meta": np.array(json.dumps(meta, allow_nan=False))}
    np.savez_compressed(out, **with_meta)  # type: ignore[arg-type]
    return out.getvalue()


def _words(labels: Any) -> np.ndarray:
    # numpy drops trailing NULs of a string and cannot store a lone surrogate in a file's UTF-32.
    return np.array([str(label).encode("utf-8", "backslashreplace").decode() for label in labels], dtype=np.str_)


def separated(result: Result, by: str = "\t") -> str:
    """As CSV is, with another character (a tab) between the cells."""
    return _csv(result, by)


def _csv(result: Result, by: str = ",") -> str:
    """A labelled matrix (masked cells empty), or a table with its column names."""
    out = io.StringIO()
    rows = csv.writer(out, delimiter=by, lineterminator="\n")
    if isinstance(result, Grid):
        _grid_rows(rows, result)
    elif isinstance(result, Gallery):
        for index, grid in enumerate(result.grids):
            if index:
                rows.writerow([])
            _grid_rows(rows, grid)
    else:
        columns, body = _as_table(result)
        rows.writerow(columns)
        rows.writerows([[_cell(cell) for cell in row] for row in body])
    return out.getvalue()


def _grid_rows(rows: Any, grid: Grid) -> None:
    corner = f"{grid.rows.name}\\{grid.cols.name}"
    rows.writerow(
        [f"{grid.header.head} {corner}" if grid.header.view == "pattern" else corner, *map(_plain, grid.cols.labels)]
    )
    for label, line in zip(grid.rows.labels, grid.values, strict=True):
        rows.writerow([_plain(label), *(_cell(cell) for cell in line)])


def _cell(cell: Any) -> Any:
    if isinstance(cell, str):
        return _plain(cell)
    if isinstance(cell, np.floating):
        # The shortest text that reads back as the same float32.
        return (
            ""
            if np.isnan(cell)
            else np.format_float_positional(cell, trim="0")
            if 1e-4 <= abs(cell) < 1e7
            else str(cell)
        )
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return cell


def _plain(label: str) -> str:
    """Token text as it is, but for what a terminal would obey."""
    return "".join(char if char.isprintable() else visible(char) for char in label)


def _as_table(result: Result) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    if isinstance(result, Table):
        return result.columns, list(result.rows)
    if isinstance(result, Curve):
        lines = zip(result.x, *result.series.values(), strict=True)
        return (result.x_name, *map(_plain, result.series)), [tuple(line) for line in lines]
    if isinstance(result, Graph):
        edges = [
            (result.nodes[link.sender], result.nodes[link.receiver] + (f".{side}" if side else ""), effect)
            for link in result.links
            for side, effect in link.effects
        ]
        return ("sender", "receiver", result.unit), edges
    if isinstance(result, Tokens):
        return ("position", "id", "token"), [
            (i, token, word) for i, (token, word) in enumerate(zip(result.ids, result.texts, strict=True))
        ]
    raise ValueError("this result has no table")


def svg(result: Result) -> str:
    """The picture at 120×40, as the app draws it."""
    if isinstance(result, Tokens | ModelInfo | Graph):
        raise ValueError("this view has no picture: write it as json, csv, npz or txt")
    from .views.svg import svg_of

    return svg_of(result, *PICTURE)


def text(result: Result) -> str:
    """Plain text without colour: what it is, the numbers as a labelled matrix or table, and what holds on them."""
    if isinstance(result, ModelInfo):
        raise ValueError("a model is not a result to write")
    blocks: list[str] = []
    if not isinstance(result, Tokens):
        blocks.append(_title(result.header))
    if isinstance(result, Grid):
        blocks.append(_text_grid(result))
    elif isinstance(result, Gallery):
        blocks += [f"{grid.header.head}\n{_text_grid(grid)}" for grid in result.grids]
    else:
        columns, rows = _as_table(result)
        special = result.special if isinstance(result, Tokens) else (False,) * len(rows)
        body = [
            [_text_cell(cell, name == "token", mark) for name, cell in zip(columns, row, strict=True)]
            for row, mark in zip(rows, special, strict=True)
        ]
        blocks.append(_aligned([list(columns), *body]))
    if not isinstance(result, Tokens):
        blocks.append(_foot(result.header))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _title(header: Header) -> str:
    name = f"{header.head} · {header.quantity}" if header.head else header.quantity
    return "\n".join(filter(None, (f"{name}: {_plain(header.formula)}", _plain(header.explanation))))


def _foot(header: Header) -> str:
    lines = []
    if header.convention:
        lines.append(", ".join(f"{name} {_word(value)}" for name, value in header.convention.items()))
    for name, value in header.checks.items():
        lines.append(f"{name} = {_number(value) if name in SIZES else f'{value:.1e}'}")
    lines += [f"{name}: {_word(value)}" for name, value in header.details.items()]
    return "\n".join(lines)


def _word(value: Scalar) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return (
        f"{value:.6g}"
        if isinstance(value, float)
        else visible(value)
        if isinstance(value, str) and value[:1] == " "
        else _plain(str(value))
    )


def _text_grid(grid: Grid) -> str:
    head = [f"{grid.rows.name}\\{grid.cols.name}", *_printed(grid.cols)]
    text = grid.text or (("",) * len(grid.cols),) * len(grid.rows)
    body = [
        [label, *(_text_of(cell, word) for cell, word in zip(line, words, strict=True))]
        for label, line, words in zip(_printed(grid.rows), grid.values, text, strict=True)
    ]
    return _aligned([head, *body])


def _text_of(cell: float, word: str) -> str:
    """A cell's number, after its text where it has one."""
    number = "." if np.isnan(cell) else _number(float(cell))
    return f"{visible(word)} {number}" if word else number


def _printed(axis: Axis) -> list[str]:
    """Tokens with their spaces made visible; other labels as they are."""
    return [_plain(label) if axis.ids is None else visible(label) for label in axis.told_apart]


def _text_cell(cell: Any, token: bool, special: bool) -> str:
    if isinstance(cell, str):
        return visible(cell, special) if token else _plain(cell)
    if isinstance(cell, float | np.floating):
        return _number(float(cell))
    return "" if cell is None else str(cell)


def _number(value: float) -> str:
    """Four significant digits, fixed where that reads well."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100_000 or size < 0.0001:
        return f"{value:.2e}"
    return f"{value:.{max(0, 3 - math.floor(math.log10(size)))}f}"


def _aligned(rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    wide = [max(width(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = row
        pad = first + " " * (wide[0] - width(first))
        lines.append(
            "  ".join([pad, *(" " * (w - width(c)) + c for w, c in zip(wide[1:], rest, strict=True))]).rstrip()
        )
    return "\n".join(lines)
