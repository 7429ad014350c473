"""What can be copied of what is shown, as text: cells, rows, columns and lists with tabs between them, the prompt, the
shell command that exports the view, and Python code that computes the same numbers. Pure functions of the selection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import needs, pages
from .commandline import command
from .contrast import beside, differs
from .declared import Here, Nothing, Say
from .engine import jobs
from .formats import separated
from .page import Page, panel_of
from .results import Axis, Gallery, Graph, Grid, Result, Table
from .selection import Selection, clamp
from .snippets import snippet
from .text import visible

UNKNOWN = "nothing is computed yet that could be copied"
LONGEST = 40
"""Characters of a text that a menu shows."""


@dataclass(frozen=True)
class Copy:
    """One thing that can be copied."""

    key: str
    """The letter that takes it."""
    what: str
    text: str = ""
    """Empty: there is none."""
    why: str = ""
    """Why there is none, or how much there is of it."""
    ending: str = "txt"
    """Of its file."""


def copies(here: Here, with_panel: bool = True) -> tuple[Copy, ...]:
    """What there is, in the order of the menu. ``with_panel``: the side panel is on the screen."""
    page, s = pages.of(here.s), here.s
    return (
        *_cells(page, here), _whole(here.drawn), _list(page, here, with_panel), _prompt(s), _command(page, s),
        _snippet(page, s),
    )  # fmt: skip


def _cells(page: Page, here: Here) -> Iterator[Copy]:
    """The cell, the row and the column under the cursor."""
    drawn, names = here.drawn, ("cell", "row", "column")
    if isinstance(drawn, Gallery) and drawn.grids:
        yield Copy("c", "cell", why="these are many matrices: g copies them all, enter opens one")
        return
    if isinstance(drawn, Table) and drawn.rows:
        at = clamp(page.cell(here.s)[0], len(drawn.rows))
        one = Table(drawn.header, drawn.columns, (drawn.rows[at],))
        yield Copy("r", "row", separated(one), " · ".join(visible(str(cell)) for cell in drawn.rows[at])[:LONGEST],
                   "tsv")  # fmt: skip
        return
    if not isinstance(drawn, Grid) or not drawn.values.size:
        why = UNKNOWN if drawn is None else "the cursor is on no cell of a matrix here: g copies all of it"
        yield from (Copy(key, name, why=why) for key, name in zip("crk", names, strict=True))
        return
    row, col = (clamp(at, size) for at, size in zip(page.cell(here.s), drawn.values.shape, strict=True))
    across, down = (_part(drawn, slice(row, row + 1), slice(None)), _part(drawn, slice(None), slice(col, col + 1)))
    value = separated(_part(drawn, slice(row, row + 1), slice(col, col + 1))).splitlines()[1].partition("\t")[2]
    word = drawn.text[row][col] if drawn.text is not None else ""
    place = f"{_label(drawn.rows, row)} × {_label(drawn.cols, col)}"
    if value:
        yield Copy("c", "cell", f"{word}\t{value}" if word else value, f"{place}: {value}")
    else:
        yield Copy("c", "cell", why=f"{place} is masked: there is no number")
    yield Copy("r", "row", separated(across), f"{_label(drawn.rows, row)}, {len(drawn.cols)} values", "tsv")
    yield Copy("k", "column", separated(down), f"{_label(drawn.cols, col)}, {len(drawn.rows)} values", "tsv")


def _label(axis: Axis, at: int) -> str:
    return visible(axis.labels[at]) if axis.ids is not None else axis.labels[at]


def _part(grid: Grid, rows: slice, cols: slice) -> Grid:
    """Some rows and columns of a matrix, with the labels of both."""

    def of(axis: Axis, part: slice) -> Axis:
        return Axis(axis.name, axis.labels[part], None if axis.ids is None else axis.ids[part])

    return Grid(grid.header, grid.values[rows, cols], of(grid.rows, rows), of(grid.cols, cols), grid.diverging)


def _whole(drawn: Result | None) -> Copy:
    if drawn is None:
        return Copy("g", "all of it", why=UNKNOWN)
    text = separated(drawn)
    size = f"{len(drawn.rows)} × {len(drawn.cols)}" if isinstance(drawn, Grid) else f"{text.count(chr(10))} lines"
    return Copy("g", "all of it", text, f"{size}, as TSV", "tsv")


def _list(page: Page, here: Here, with_panel: bool) -> Copy:
    """The side panel's table, else the page's own."""
    panel = panel_of(page, here.s) if with_panel else None
    listed = beside(panel, page, here.s, here.cached) if panel is not None else here.drawn
    if panel is None and not isinstance(listed, Table | Graph):
        return Copy("l", "list", why="no list is on the screen: p opens a side panel")
    if listed is None:
        return Copy("l", "list", why=UNKNOWN)
    title = panel.title(here) if panel is not None else page.title
    return Copy("l", "list", separated(listed), title, "tsv")


def _prompt(s: Selection) -> Copy:
    shown = visible(s.text)
    return Copy("p", "prompt", s.text, shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…")


def asked(page: Page, s: Selection) -> jobs.Job | Say:
    """The one job whose numbers are shown; or why there is not one."""
    if s.contrast == "difference" and differs(page.shown, s):
        return Say("a difference is of two results: d shows the changed or the clean model, each with its own")
    if s.tokens is not None and s.tokens_of != needs.tokenizing(s):
        return Say("what is shown is of the prompt before the one in the line: type one that is taken first")
    job = page.shown(s)
    if isinstance(job, Nothing):
        return Say(job.why.replace("\n", " ") or UNKNOWN)
    return job


def _command(page: Page, s: Selection) -> Copy:
    job = asked(page, s)
    made = job if isinstance(job, Say) else command(s, job)
    if isinstance(made, Say):
        return Copy("s", "shell command", why=made.sentence)
    return Copy("s", "shell command", made, visible(made.removeprefix("circuit-tui ")).replace("·", " "), "sh")


def _snippet(page: Page, s: Selection) -> Copy:
    job = asked(page, s)
    made = job if isinstance(job, Say) else snippet(s, job)
    if isinstance(made, Say):
        return Copy("n", "Python", why=made.sentence)
    return Copy("n", "Python", made, f"{made.count(chr(10))} lines with TransformerLens, the same numbers", "py")
