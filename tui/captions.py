"""What a selection and its results say in words: status line, titles, the inspector line. Strings only, no widgets."""

from __future__ import annotations

import math
from collections.abc import Callable

from .engine.jobs import Job
from .results import Curve, Gallery, Grid, Header, Result, Scalar, Table, Tokens
from .state import TITLES, VIEWS, Selection, cell_in_view, inspected, panel_name, shown
from .text import visible

Segments = list[tuple[str, str]]
"""Pieces of a line with their style names (Textual's theme variables)."""

_TERMS = {
    "token-token": "", "token-position": "token×pos", "position-token": "pos×token", "position-position": "pos×pos",
}  # fmt: skip
_LABEL, _VALUE, _STRONG = "$text-muted", "$text", "bold $text"


def _share(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def number(value: float | None, digits: int = 2) -> str:
    """A value as the screen prints it: fixed where that reads well, exponent where not, never ``nan``."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0 or 10**-digits <= abs(value) < 10_000:
        return f"{value:.{digits}f}".replace("-", "−")
    return f"{value:.1e}".replace("-", "−")


def error(value: float) -> str:
    """How far an identity holds: ``±3e-08``, or ``exactly``."""
    return "exactly" if value == 0 else f"±{value:.0e}"


def conventions(s: Selection) -> str:
    """``demo · cpu · float32 · processed weights · BOS``."""
    if s.model is None:
        return s.open.source
    bos = "BOS" if s.with_bos else "no BOS"
    return " · ".join((s.model.name, s.model.key.device, s.model.key.dtype, f"{s.weights} weights", bos))


def tabs(s: Selection) -> Segments:
    """``1 Pattern  2 QK …`` with the shown view marked."""
    out: Segments = []
    for digit, view in enumerate(VIEWS, 1):
        out.append((f" {digit} {TITLES[view]} ", "bold reverse $primary" if view == s.view else _LABEL))
    return out


def title(s: Selection, header: Header | None) -> str:
    """``L1H3 · QK · bilinear · centered/shown · embed``: what is drawn, with every option that changes its numbers."""
    place = s.name
    if s.view == "pattern":
        parts = [f"L{s.layer}", "all heads"] if s.head is None or s.mode == "all heads" else [place, s.mode]
    elif s.view == "qk":
        parts = [place, f"QK {_TERMS[s.term]}".rstrip(), s.form, _normalisation(s), s.basis]
        if s.model is not None and not s.model.capabilities.offset and s.basis != "prompt":
            parts.append(f"offset {s.offset}")
    elif s.view == "ov":
        what = "OV" if s.head is not None else "W_E W_U" if s.basis == "embed" else "x W_U"
        parts = [place, what, _normalisation(s), s.basis]
    else:
        parts = ["residual stream", "norm" if s.measure == "norm" else "answer direction"]
    if header is not None and header.partial:
        parts.append("(so far)")
    return " · ".join(part for part in parts if part)


def _normalisation(s: Selection) -> str:
    if s.normalize == "none":
        return ""
    return f"{s.normalize}/{s.baseline}"


def checks(header: Header, facts: bool = True) -> str:
    """The identities that hold on these numbers, each with its largest error, then further facts."""
    named = [(name, value) for name, value in header.checks.items() if "/ max" not in name]  # once is enough here
    out = [f"{_identity(name)} {error(value)}" for name, value in named]
    if not facts:
        return "  ·  ".join(out)
    out += [f"{name} {_word(value)}" if value not in ("", None) else name for name, value in header.details.items()]
    return "  ·  ".join(out)


def _identity(name: str) -> str:
    """``max |a − b|`` as the identity that it measures: ``a = b``."""
    inside = name.removeprefix("max ").removeprefix("|").removesuffix("|")
    return inside.replace(" − ", " = ", 1) if inside != name else name


def about(s: Selection, header: Header | None) -> str:
    """The help overlay's first lines: what the shown view is, in full."""
    if header is None:
        return title(s, None)
    lines = [f"{title(s, header)}: {header.quantity}", header.explanation, f"formula: {header.formula}"]
    if header.convention:
        lines.append("in force: " + ", ".join(f"{name} {_word(value)}" for name, value in header.convention.items()))
    if header.checks or header.details:
        lines.append("checks: " + checks(header))
    return "\n".join(line for line in lines if line)


def _word(value: Scalar) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value is None else str(value)


def inspector(s: Selection, cached: Callable[[Job], Result | None]) -> Segments:
    """The cell under the cursor: what this prompt did and what the weights say, in every view."""
    if s.view == "residual":
        return _stream_cell(s, cached)
    tokens = s.shown_tokens
    if tokens is None or not len(tokens):
        return [("no tokens", _LABEL)]
    row, col = s.cell
    drawn = _drawn(s, cached)
    names = _name(tokens, row), _name(tokens, col)
    if drawn is not None and s.view == "qk" and s.term != "token-token":  # the axes of this picture are not tokens
        kinds = s.term.split("-")
        names = tuple(  # type: ignore[assignment]
            f"pos {axis.labels[i]}" if kind == "position" else name
            for kind, axis, i, name in zip(kinds, (drawn.rows, drawn.cols), (row, col), names, strict=True)
        )
        value = number(_value(drawn, row, col))
        return [(f" {names[0]} → {names[1]} ", _STRONG), *_field(f"{_TERMS[s.term]} {_shown_as(s)}".rstrip(), value)]
    out: Segments = [(f" {names[0]} → {names[1]} ", _STRONG)]
    jobs = inspected(s)
    if drawn is not None and s.view in ("qk", "ov") and s.normalize != "none":
        out += _field(_shown_as(s), number(_value(drawn, row, col)))
    pattern, scores = _at(cached, jobs.pattern, row, col), _at(cached, jobs.scores, row, col)
    if jobs.pattern is not None:
        masked = pattern is not None and math.isnan(pattern)
        out += _field("pattern", "masked" if masked else _share(pattern))
        out += [] if masked else _field("score", number(scores))
    if jobs.qk is not None:
        out += _field("QK", number(_at(cached, jobs.qk, row, col)))
        out += [(f" (z {number(_at(cached, jobs.zscore, row, col), 1)})", _VALUE)]
    return out + _writes(s, cached, row, col)


def _shown_as(s: Selection) -> str:
    return "" if s.normalize == "none" else s.normalize


def _drawn(s: Selection, cached: Callable[[Job], Result | None]) -> Grid | None:
    """The grid on the screen."""
    job = shown(s)
    grid = cached(job) if job is not None else None
    return grid if isinstance(grid, Grid) else None


def _writes(s: Selection, cached: Callable[[Job], Result | None], row: int, col: int) -> Segments:
    """OV of the cell: in the OV view the cell's value and rank, elsewhere what the key token makes the head write."""
    jobs = inspected(s)
    table = cached(jobs.ov_row) if jobs.ov_row else None
    if not isinstance(table, Table):
        return []
    kind, rank, token, ids, value = (table.columns.index(n) for n in ("part", "rank", "token", "id", "value"))
    tokens = s.shown_tokens
    assert tokens is not None
    if s.view == "ov":
        mine = [r for r in table.rows if r[kind] == "shown" and r[ids] == tokens.ids[col]]
        cell = _at(cached, jobs.ov, row, col)
        return _field("OV", number(cell)) + ([(f" (#{mine[0][rank]})", _VALUE)] if mine else [])
    best = table.rows[0] if table.rows else None
    if best is None:
        return []
    strength = f" {float(best[value] or 0):+.2f}".replace("-", "−")
    return [(f"  OV {_name(tokens, col)} → ", _VALUE), (visible(str(best[token])), "bold $success"), (strength, _VALUE)]


def _stream_cell(s: Selection, cached: Callable[[Job], Result | None]) -> Segments:
    grid = _drawn(s, cached)
    if grid is None or s.tokens is None:
        return [(" …", _LABEL)]
    row, col = cell_in_view(s)
    row = min(row, len(grid.rows) - 1)
    label = "norm" if s.measure == "norm" else "toward the answer"
    out: Segments = [(f" {grid.rows.labels[row]} at {_name(s.tokens, col)} ", _STRONG)]
    return out + _field(label, number(float(grid.values[row, col]), 3))


def _name(tokens: Tokens, index: int) -> str:
    return visible(tokens.texts[index], tokens.special[index])


def _field(label: str, value: str) -> Segments:
    """One style for name and number: each change of style is 40 bytes on the wire, at every cursor move."""
    return [(f"  {label} {value}", _VALUE)]


def _at(cached: Callable[[Job], Result | None], job: Job | None, row: int, col: int) -> float | None:
    grid = cached(job) if job is not None else None
    return _value(grid, row, col) if isinstance(grid, Grid) else None


def _value(grid: Grid, row: int, col: int) -> float | None:
    rows, cols = grid.values.shape
    return float(grid.values[row, col]) if row < rows and col < cols else None


def panel_title(s: Selection, result: Result | None) -> str:
    """The side panel's title: whose numbers, of which token."""
    name = panel_name(s)
    tokens = s.shown_tokens
    if tokens is None or not len(tokens):
        return name
    row, col = s.cell
    if name == "head writes":
        return f"{s.name}: {_name(tokens, row if s.view == 'ov' else col)} writes"
    if name == "distance":
        return f"{_name(tokens, row)} → {_name(tokens, col)} by distance"
    assert s.tokens is not None
    position = _name(s.tokens, s.position)
    reads = {"query reads": "query", "key reads": "key", "value reads": "value"}
    if name in reads:
        return f"{s.name} {reads[name]} at {position}"
    return f"{'after' if name == 'next tokens' else 'stream at'} {position}"


def for_panel(result: Result | None) -> Result | None:
    """A table as the narrow side panel shows it: the token with its rank and number, no ids, no cell's own rows."""
    if not isinstance(result, Table) or "token" not in result.columns:
        return result
    kept = [name for name in ("rank", "token", result.bar) if name in result.columns]
    at = [result.columns.index(name) for name in kept if name is not None]
    part = result.columns.index("part") if "part" in result.columns else None
    rows = [row for row in result.rows if part is None or row[part] != "shown"]
    rows.sort(key=lambda row: row[at[0]])  # type: ignore[arg-type, return-value]
    columns = tuple(result.columns[index] for index in at)
    return Table(result.header, columns, tuple(tuple(row[index] for index in at) for row in rows), result.bar)


def header_of(result: Result | None) -> Header | None:
    """The header of a result that has one."""
    return result.header if isinstance(result, Grid | Gallery | Table | Curve) else None
