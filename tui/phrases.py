"""Words that every page uses: numbers, checks, tokens, the answer, the status line. Strings only, no widgets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from .contrast import differs
from .declared import Cached, Here, Nothing, Segments
from .engine.jobs import Job
from .names import neuron_at
from .results import Curve, Gallery, Graph, Grid, Header, Result, Scalar, Table, Tokens
from .selection import Selection
from .text import in_words, is_byte, shorten, visible, width

LABEL, VALUE, STRONG, GOOD = "$text-muted", "$text", "bold $text", "bold $success"
SUM = ("value", "score", "sum", "error")
"""Checks that are one sentence together: the model's own number, what the parts sum to, and the difference."""


def number(value: float | None, digits: int | None = 2) -> str:
    """A value as the screen prints it: fixed where that reads well, exponent where not, never ``nan``."""
    if value is None or digits is None or math.isnan(value):
        return "–"
    if value == 0 or 10**-digits <= abs(value) < 10_000:
        return f"{value:.{digits}f}".replace("-", "−")
    return f"{value:.1e}".replace("-", "−")


def share(value: float | None) -> str:
    """An attention weight: three digits, never nothing of what is not zero."""
    return "–" if value is None or math.isnan(value) else number(value, 3) if value else "0.000"


def error(value: float) -> str:
    """How far an identity holds: ``±3e-08``, or ``exactly``."""
    return "exactly" if value == 0 else f"±{value:.0e}"


def word(value: Scalar) -> str:
    """A value of a header in a word."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value is None else str(value)


def field(label: str, value: str) -> Segments:
    """One style for name and number: each change of style is 40 bytes on the wire, at every cursor move."""
    return [(f"  {label} {value}", VALUE)]


LEAST_NAME = 12
"""Columns that a name keeps where its values need the room."""


def in_room(line: Segments, columns: int) -> Segments:
    """A line of a name and its values in so many columns: what stands in brackets goes first, then the name is cut,
    then the last values go, each whole."""
    if sum(width(text) for text, _ in line) <= columns or not line:
        return line
    (name, style), *values = line
    plain = [(re.sub(r" ?\([^)]*\)", "", text), look) for text, look in values]
    fields: list[Segments] = []
    for piece in plain:  # a value begins behind two blanks; what follows without them belongs to it
        if piece[0].startswith("  ") or not fields:
            fields.append([piece])
        else:
            fields[-1].append(piece)
    while fields and _columns(fields) + min(width(name), LEAST_NAME if fields[1:] else 4) > columns:
        fields.pop()
    room = columns - _columns(fields)
    cut = name if width(name) <= room else shorten(name.rstrip(), room)
    return [(cut, style), *(piece for pieces in fields for piece in pieces)]


def _columns(fields: list[Segments]) -> int:
    return sum(width(text) for pieces in fields for text, _ in pieces)


def contrast(s: Selection, asked: Callable[[Selection], Job | Nothing]) -> str:
    """What a title says so that nobody takes a changed model for the clean one; "" where nothing is changed."""
    if not differs(asked, s):
        return ""
    return "Δ changed − clean" if s.contrast == "difference" else s.contrast


def difference_line(here: Here, changed: Here, clean: Here, cell: tuple[int, int]) -> Segments:
    """``·is → ·France  changed 0.120 − clean 0.870 = −0.750``."""
    drawn, (row, col) = here.drawn, cell
    if isinstance(drawn, Table) and drawn.rows:
        return row_line(drawn, row)
    apart = value_at(drawn, row, col)
    if not isinstance(drawn, Grid) or apart is None:
        return waiting(here)
    sides = [value_at(there.drawn, row, col) for there in (changed, clean)]
    names = " · ".join(labels_at(drawn, row, col))
    return [(f" {names} ", STRONG), *field("changed", number(sides[0], 3)), *field("− clean", number(sides[1], 3)),
            *field("=", number(apart, 3))]  # fmt: skip


def changes(s: Selection) -> str:
    """``changed: L1H3 zero, L2.mlp zero``: the interventions in force, or that there are some which are not."""
    if not s.stack:
        return ""
    if s.contrast == "difference" and s.changes:
        return f"Δ of {', '.join(map(str, s.changes[:2]))}{' …' if len(s.changes) > 2 else ''}"
    on = [str(change) for change in s.changes]
    if not on or s.contrast == "clean":
        return f"clean, {len(s.stack)} change{'s' if len(s.stack) > 1 else ''} off"
    return f"changed: {', '.join(on)}" if len(on) < 3 else f"changed: {on[0]} and {len(on) - 1} more"


def badges(s: Selection, job: Job | Nothing, tokens: Tokens | None) -> tuple[str, ...]:
    """What is out of the ordinary about the numbers of a job: a token list of one's own, the basis, the weights."""
    out = ["token list"] if tokens is not s.tokens else []
    if s.model is not None and s.model.bidirectional and getattr(job, "run", None) is not None:
        out.append("all ↔ all")
    basis = getattr(job, "basis", "embed")
    out += [f"basis {basis}"] if basis != "embed" else []
    return (*out, "raw weights") if getattr(job, "weights", "processed") == "raw" else tuple(out)


def conventions(s: Selection) -> str:
    """``demo · cpu · float32 · processed weights · BOS``; at the end, where the numbers come from if not from the
    loaded model."""
    if s.model is None:
        return s.open.source
    bos = "BOS" if s.with_bos else "no BOS"
    if s.tokens is not None and s.tokens.bos_from:
        bos = "BOS typed, none added" if s.tokens.bos_from == "text" else f"BOS of the {s.tokens.bos_from}, none added"
    if s.tokens is not None and s.tokens.chat:
        bos = f"chat · {bos if s.tokens.bos else 'no BOS'}"
    model = s.model
    step = f"step {model.step + 1} of {len(model.steps)}" if model.steps else ""
    weights = f"{s.weights} weights"
    said = (changes(s), model.name, step, model.key.device, model.key.dtype, weights, bos, model.source)
    return " · ".join(part for part in said if part)


def aim(s: Selection) -> str:
    """The answer and the distractor, as the user wrote them, else the likeliest next token."""
    if s.answer is not None and (s.answer.label or s.answer.text):
        return s.answer.label or s.answer.text.replace(" - ", " − ")
    if s.likeliest is not None:
        return s.likeliest.text if s.model is not None and s.model.classes else in_words(s.likeliest.text)
    return "the likeliest token"


def aim_in_line(s: Selection, own: str = "") -> str:
    """What stands at the right of the prompt; nothing while there is no prediction yet. ``own``: the page's answer."""
    return f"answer {own or aim(s)}" if s.target is not None else ""


def token(tokens: Tokens | None, index: int) -> str:
    """A token as it is printed, a byte of a character with its id; "" where there are none."""
    if tokens is None or not 0 <= index < len(tokens):
        return ""
    return with_id(tokens.texts[index], tokens.ids[index], tokens.special[index], tokens.told_apart[index])


def with_id(text: str, token_id: int, special: bool = False, shown: str = "") -> str:
    """A token as it is printed, a byte of a character with its id: several of one character read alike. ``shown``: the
    token beside its neighbours."""
    printed = visible(shown or text, special)
    return f"{printed} #{token_id}" if is_byte(text) or shown not in ("", text) else printed


def where(s: Selection) -> str:
    """``at ·is (5)``: the position that the cursor is on."""
    return f"at {token(s.tokens, s.position)} ({s.position})" if s.tokens is not None and len(s.tokens) else ""


def over_file(s: Selection) -> str:
    """``over facts.jsonl (3 prompts)``."""
    return f"over {s.file.name} ({s.file.count})" if s.file is not None else ""


def checks(header: Header, facts: bool = True) -> str:
    """The identities that hold on these numbers, each with its largest error, then further facts."""
    named = [(name, value) for name, value in header.checks.items() if "/ max" not in name]  # once is enough here
    out = [f"{_identity(name)} {error(value)}" for name, value in named if name not in SUM]
    if "sum" in header.checks:
        whole = next(name for name in ("value", "score") if name in header.checks)
        sides = f"Σ parts {number(header.checks['sum'], 3)} = {whole} {number(header.checks[whole], 3)}"
        out.insert(0, f"{sides} {error(header.checks['error'])}")
    if facts:
        details = header.details.items()
        out += [f"{name} {word(value)}" if value not in ("", None) else name for name, value in details]
    return "  ·  ".join(out)


def _identity(name: str) -> str:
    """``max |a − b|`` as the identity that it measures: ``a = b``."""
    inside = name.removeprefix("max ").removeprefix("|").removesuffix("|")
    return inside.replace(" − ", " = ", 1) if inside != name else name


def about(title: str, drawn: Result | None) -> str:
    """The help overlay's first lines: what the shown page is, in full."""
    header = header_of(drawn)
    if header is None:
        return title
    lines = [f"{title}: {header.quantity}", header.explanation, f"formula: {header.formula}"]
    if header.convention:
        lines.append("in force: " + ", ".join(f"{name} {word(value)}" for name, value in header.convention.items()))
    if header.checks or header.details:
        lines.append("checks: " + checks(header))
    return "\n".join(line for line in lines if line)


def header_of(result: Result | None) -> Header | None:
    """The header of a result that has one."""
    return result.header if isinstance(result, Grid | Gallery | Table | Curve | Graph) else None


def value_at(result: Result | None, row: int, col: int) -> float | None:
    """A cell of a Grid; None where there is none."""
    if not isinstance(result, Grid):
        return None
    rows, cols = result.values.shape
    return float(result.values[row, col]) if row < rows and col < cols else None


def cached_at(cached: Cached, job: Job | None, row: int, col: int) -> float | None:
    """A cell of a job's Grid, if it is known."""
    return value_at(cached(job), row, col) if job is not None else None


def labels_at(grid: Grid, row: int, col: int) -> tuple[str, str]:
    """Both labels of a cell, tokens made safe to print; an index past the end is the last one."""
    row, col = min(row, len(grid.rows) - 1), min(col, len(grid.cols) - 1)
    first, second = (
        with_id(axis.labels[i], axis.ids[i], shown=axis.told_apart[i]) if axis.ids is not None else axis.labels[i]
        for axis, i in ((grid.rows, row), (grid.cols, col))
    )
    return first, second


def waiting(here: Here) -> Segments:
    """The inspector of a picture that is not there yet."""
    return [(" …" if here.drawn is None else "", LABEL)]


def cell_line(here: Here, cell: tuple[int, int], place: str, measured: str, digits: int | None = 3) -> Segments:
    """``·is at L3.pre  ·Paris  probability 0.870``: a cell of a Grid; ``place`` may use both labels as {0} and {1}.
    ``digits`` None: a whole number."""
    grid = here.drawn
    if not isinstance(grid, Grid) or not grid.values.size:
        return waiting(here)
    row, col = min(cell[0], len(grid.rows) - 1), min(cell[1], len(grid.cols) - 1)
    names = labels_at(grid, row, col)
    out: Segments = [(f" {place.replace('{0}', names[0]).replace('{1}', names[1])} ", STRONG)]
    if grid.text is not None and (text := grid.text[row][col]):
        out.append((f"  {visible(text)}", GOOD))
    value = float(grid.values[row, col])
    return out + field(measured, number(value, digits) if digits is not None or math.isnan(value) else f"{value:g}")


def row_line(table: Table, row: int) -> Segments:
    """A row of a ranked list: its name, then its numbers."""
    line = table.rows[min(row, len(table.rows) - 1)]
    named = zip(table.columns[1:], line[1:], strict=True)
    fields = [field(name, number(value)) for name, value in named if isinstance(value, float)]
    return [(f" {line[0]} ", STRONG), *(piece for pieces in fields for piece in pieces)]


def row_of(table: Table, row: int) -> dict[str, Scalar]:
    """A row of a Table by its columns' names."""
    return dict(zip(table.columns, table.rows[row], strict=True))


def as_tokens(what: str, s: Selection) -> str:
    """``L0H2 at ·is as tokens``: the vector of the stream that is read out; a neuron writes the same everywhere."""
    what = what or "nothing here"
    return f"{what} as tokens" if neuron_at(what) else f"{what} at {token(s.tokens, s.position)} as tokens"
