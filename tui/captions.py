"""What a selection and its results say in words: status line, titles, the inspector line. Strings only, no widgets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from . import arrange
from .engine.jobs import Job
from .finding import PAIRS, path
from .finding import PATTERN_SCORES as PATTERN
from .needs import READS, inspected, panel_name, shape, shown
from .results import Curve, Gallery, Grid, Header, Result, Scalar, Table, Tokens, head_name
from .state import KEYS, TITLES, VIEWS, Selection, cell_in_view, neuron_of
from .text import visible
from .views.main_view import Tab

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


def tabs(s: Selection) -> list[Tab]:
    """``1 Pattern  2 QK …`` with the shown view marked; views without a number are named while they are shown."""
    return [Tab(KEYS[view], TITLES[view], view == s.view) for view in VIEWS if KEYS[view].isdigit() or view == s.view]


_FLOWS = {
    "norm": "norm of writes", "answer": "effect of writes", "states": "norm of states",
    "final": "cosine of states with the final one", "writes": "cosines between writes",
}  # fmt: skip
_LENSES = {
    "probability": "top token's probability", "answer": "answer's probability", "rank": "answer's rank",
    "entropy": "entropy", "kl": "KL(final ‖ lens)",
}  # fmt: skip


def title(s: Selection, header: Header | None) -> str:
    """``L1H3 · QK · bilinear · centered/shown · embed``: what is drawn, with every option that changes its numbers."""
    place = s.name
    if s.over:
        parts = _over(s)
    elif s.view == "pattern":
        parts = [f"L{s.layer}", "all heads"] if s.head is None or s.mode == "all heads" else [place, s.mode]
        parts += [f"toward {aim(s)}"] if parts[1] == "sources" else []
    elif s.view == "qk":
        parts = [place, f"QK {_TERMS[s.term]}".rstrip(), s.form, _normalisation(s), s.basis]
        if s.model is not None and not s.model.capabilities.offset and s.basis != "prompt":
            parts.append(f"offset {s.offset}")
    elif s.view == "ov":
        what = "OV" if s.head is not None else "W_E W_U" if s.basis == "embed" else "x W_U"
        parts = [place, what, _normalisation(s), s.basis]
    elif s.view == "residual":
        parts = ["residual stream", _FLOWS[s.measure]]
        parts += [f"toward {aim(s)}"] if s.measure == "answer" else [_where(s)] if s.measure == "writes" else []
    elif s.view == "lens":
        parts = ["logit lens", _LENSES[s.lens], aim(s) if s.lens in ("answer", "rank") else ""]
    elif s.view == "attribution":
        parts = [f"attribution to {aim(s)}", _where(s), f"by {s.grain}"]
        parts += [f"L{s.layer}.mlp"] if s.grain == "neuron" else []
    elif s.view in ("heads", "compose", "pairs", "svd"):
        parts = _found(s)
    elif s.view == "neurons":
        parts = [f"L{s.layer} neurons", f"those that matter most {_where(s)}" if s.neuron is None else ""]
    else:
        row, col = s.cell
        pair = f"{_name(s.tokens, row)} → {_name(s.tokens, col)}" if s.tokens else ""
        parts = [f"{place} score", pair, f"by {s.unit}"]
    if header is not None and header.partial:
        parts.append("(so far)")
    return " · ".join(part for part in parts if part)


_ON = {"repeats": "on repeated random tokens", "prompt": "on this prompt", "file": "over the file of prompts"}
_KINDS = {"q": "query", "k": "key", "v": "value"}


def _found(s: Selection) -> list[str]:
    """Titles of what looks for heads and tokens."""
    f = s.finding
    if s.view == "heads":
        if f.score in PAIRS:
            return [f"{s.basis} {PAIRS[f.score].upper()}", f"mean z of {f.pairs_text}"]
        return ["all heads", f.score, _ON[f.on] if f.score in PATTERN else "by the weights"]
    if s.view == "pairs":
        chosen = f"filter {f.filter_text}" if f.filter_text else ""
        return [s.name, f"strongest {f.circuit.upper()} pairs", s.basis, chosen]
    if s.view == "svd":
        return [s.name, f"singular values of W_{f.circuit.upper()}", f"direction {f.singular}"]
    if s.virtual:
        first, second = (head_name(*at) for at in path(f, (s.layer, s.head or 0)))
        what = "OV" if f.kind == "v" else f"QK, {_KINDS[f.kind]} side"
        return [f"{first} → {second}", f"virtual {what}", "embed"]
    who = f"heads that feed the {_KINDS[f.kind]} of {s.name}"
    if f.direction == "into":
        who = f"heads whose {_KINDS[f.kind]} {s.name} feeds"
    return [who, "z, processed weights"]


def _over(s: Selection) -> list[str]:
    assert s.file is not None
    count = len(s.file.rows)
    over = f"over {s.file.name} ({count} prompt{'s' if count != 1 else ''})"
    if s.view == "pattern":
        return [s.name, f"{s.statistic} pattern {over}"]
    return ["logit lens" if s.view == "lens" else f"attribution by {s.grain}", f"mean {over}"]


def aim(s: Selection) -> str:
    """The answer and the distractor, as the user wrote them, else the likeliest next token."""
    if s.chosen is not None and s.answer_text:
        return s.answer_text.replace(" - ", " − ")
    return visible(s.likeliest_text) if s.likeliest_text else "the likeliest token"


def aim_in_line(s: Selection) -> str:
    """What stands at the right of the prompt; nothing while there is no prediction yet."""
    return f"answer {aim(s)}" if s.target is not None else ""


def shade(s: Selection, result: Result | None) -> tuple[float, ...] | None:
    """In Neurons: activations of the neuron under the cursor along the prompt, the largest ±1; None elsewhere."""
    if s.view != "neurons" or not isinstance(result, Grid) or not result.values.size:
        return None
    values = result.values[min(s.neuron_row, len(result.rows) - 1)]
    most = float(abs(values).max())
    return tuple((values / most).tolist()) if most > 0 else None


def _where(s: Selection) -> str:
    return f"at {_name(s.tokens, s.position)} ({s.position})" if s.tokens is not None and len(s.tokens) else ""


def _normalisation(s: Selection) -> str:
    if s.normalize == "none":
        return ""
    return f"{s.normalize}/{s.baseline}"


def checks(header: Header, facts: bool = True) -> str:
    """The identities that hold on these numbers, each with its largest error, then further facts."""
    named = [(name, value) for name, value in header.checks.items() if "/ max" not in name]  # once is enough here
    out = [f"{_identity(name)} {error(value)}" for name, value in named if name not in _SUM]
    if "sum" in header.checks:
        whole = next(name for name in ("value", "score") if name in header.checks)
        sides = f"Σ parts {number(header.checks['sum'], 3)} = {whole} {number(header.checks[whole], 3)}"
        out.insert(0, f"{sides} {error(header.checks['error'])}")
    if not facts:
        return "  ·  ".join(out)
    out += [f"{name} {_word(value)}" if value not in ("", None) else name for name, value in header.details.items()]
    return "  ·  ".join(out)


_SUM = ("value", "score", "sum", "error")
"""Checks that are one sentence together: the model's own number, what the parts sum to, and the difference."""


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
    if s.view not in ("pattern", "qk", "ov") or s.over or (s.view == "pattern" and s.mode == "sources"):
        return _other_cell(s, cached)
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


def on_named_neuron(s: Selection, result: Result) -> Selection:
    """With the cursor on the row of the neuron that the user named, once it is known where that is."""
    if s.view != "neurons" or s.neuron is None or not isinstance(result, Grid):
        return s
    name = f"L{s.neuron[0]}N{s.neuron[1]}"
    return replace(s, neuron_row=result.rows.labels.index(name)) if name in result.rows.labels else s


def part_under(s: Selection, result: Result | None) -> str:
    """The part, neuron or state that the cursor's row (in Attribution: its cell) names; "" where it names none."""
    drawn = arrange.for_view(result, shape(s))
    row, col = cell_in_view(s)
    if isinstance(drawn, Table) and s.view == "attribution" and drawn.rows:
        return str(drawn.rows[min(row, len(drawn.rows) - 1)][0])
    if not isinstance(drawn, Grid) or s.view not in ("residual", "attribution", "neurons") or not drawn.values.size:
        return ""
    row, col = min(row, len(drawn.rows) - 1), min(col, len(drawn.cols) - 1)
    return arrange.part_at(row, drawn.cols.labels[col]) if s.view == "attribution" else drawn.rows.labels[row]


def _other_cell(s: Selection, cached: Callable[[Job], Result | None]) -> Segments:
    """The cell under the cursor where the rows or columns are not tokens seeking tokens."""
    job = shown(s)
    drawn = arrange.for_view(cached(job), shape(s)) if job is not None else None
    if isinstance(drawn, Table) and drawn.rows and s.view == "pairs":
        return _pair_line(s, drawn)
    if isinstance(drawn, Curve):
        values = next(iter(drawn.series.values()))
        at = min(s.finding.singular, len(values) - 1)
        return [(f" direction {at} of {len(values)} ", _STRONG), *_field("σ", number(float(values[at]), 3))]
    if isinstance(drawn, Table) and drawn.rows:
        line = drawn.rows[min(cell_in_view(s)[0], len(drawn.rows) - 1)]
        named = zip(drawn.columns[1:], line[1:], strict=True)
        fields = [_field(name, number(value)) for name, value in named if isinstance(value, float)]
        return [(f" {line[0]} ", _STRONG), *(piece for field in fields for piece in field)]
    tokenless = s.tokens is None and s.view != "heads"
    if not isinstance(drawn, Grid) or tokenless or not drawn.values.size:
        return [(" …" if drawn is None else "", _LABEL)]
    row, col = cell_in_view(s)
    row, col = min(row, len(drawn.rows) - 1), min(col, len(drawn.cols) - 1)
    names = tuple(
        visible(axis.labels[i]) if axis.ids is not None else axis.labels[i]
        for axis, i in ((drawn.rows, row), (drawn.cols, col))
    )
    if s.view in ("heads", "compose") and not s.virtual:
        place = f"L{row}{names[1]}"
    elif s.view == "attribution":
        place = f"{arrange.part_at(row, names[1])} {'on average' if s.over else _where(s)}"
    elif s.view == "why":
        place = f"{names[0]} at the query × {names[1]} at the key"
    elif s.view == "pattern" or s.virtual:
        place = f"{names[0]} → {names[1]}"
    elif s.measure == "writes" and s.view == "residual":
        place = f"{names[0]} · {names[1]}"
    else:
        place = f"{names[0]} at {names[1]}"
    value = float(drawn.values[row, col])
    text = drawn.text[row][col] if drawn.text is not None else ""
    out: Segments = [(f" {place} ", _STRONG)]
    if text:
        out.append((f"  {visible(text)}", "bold $success"))
    if s.view == "lens" and s.lens == "rank":
        return out + _field("rank of the answer", f"{value:g}" if not math.isnan(value) else "–")
    digits = 2 if s.view in ("attribution", "why") else 3
    return out + _field(_measured(s), number(value, digits))


def _pair_line(s: Selection, table: Table) -> Segments:
    row = table.rows[min(s.finding.pair_row, len(table.rows) - 1)]
    names = [visible(cell) for cell in row if isinstance(cell, str)]
    value = row[table.columns.index("value")]
    return [(f" {' → '.join(names)} ", _STRONG), *_field(s.finding.circuit.upper(), number(float(value or 0)))]


def _measured(s: Selection) -> str:
    """What the number of a cell is, in a word or two."""
    if s.view == "lens":
        return _LENSES[s.lens]
    if s.view == "residual":
        words = {"norm": "norm", "answer": f"toward {aim(s)}", "states": "norm", "final": "cosine", "writes": "cosine"}
        return words[s.measure]
    if s.view == "attribution":
        return "toward the answers" if s.over else f"toward {aim(s)}"
    if s.view in ("heads", "compose"):
        score = "mean z" if s.finding.score in PAIRS else s.finding.score
        return score if s.view == "heads" else f"virtual {s.finding.kind.upper()}" if s.virtual else "z"
    if s.view == "pattern":
        return f"{s.statistic} attention" if s.over else f"gives toward {aim(s)}"
    return "of the score" if s.view == "why" else "activation"


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


def panel_title(s: Selection, part: str = "") -> str:
    """The side panel's title: whose numbers, of which token; ``part`` is what the row under the cursor names."""
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
    if name in READS:
        return f"{s.name} {name.removesuffix(' reads')} at {position}"
    if name in ("directions", "neuron writes"):
        return _as_tokens(s, part, position)
    if name == "contexts":
        return f"{s.name} attends to {_name(tokens, col)}"
    if name == "top tokens":
        return f"{s.states[cell_in_view(s)[0]]} at {position}"
    chosen = _name(tokens, row if name != "sought by" and name != "written by" else col)
    titles = {
        "seeks": f"{s.name}: {chosen} seeks", "sought by": f"{s.name}: {chosen} is sought by",
        "written by": f"{s.name}: {chosen} is written by", "nearest in W_E": f"nearest to {chosen} in W_E",
        "nearest in W_U": f"nearest to {chosen} in W_U", "heads, ranked": "heads, ranked",
        "its partners": f"{s.name}: its partners", "singular directions": f"{s.name}: direction {s.finding.singular}",
        "next tokens": f"after {position}", "parts": f"stream at {position}", "sources": f"{s.name} at {position}",
        "ranked": "parts, ranked", "pairs": "pairs, ranked", "probability by layer": f"probability at {position}",
        "rank by layer": f"rank at {position}",
    }  # fmt: skip
    return titles[name]


def _as_tokens(s: Selection, part: str, position: str) -> str:
    """``L0H2 at ·is as tokens``: the vector of the stream that is read out."""
    if s.on_states:
        what = s.states[cell_in_view(s)[0]]
    elif s.view == "pattern":
        source = f" from {_name(s.tokens, s.cell[1])}" if s.mode == "sources" and s.tokens else ""
        what = s.name + source
    else:
        what = part or "nothing here"
    return f"{what} as tokens" if neuron_of(part) else f"{what} at {position} as tokens"


def header_of(result: Result | None) -> Header | None:
    """The header of a result that has one."""
    return result.header if isinstance(result, Grid | Gallery | Table | Curve) else None
