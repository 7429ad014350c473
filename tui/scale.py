"""The colour scale that was locked: pictures of one quantity are then comparable across heads, prompts and modes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from .arrange import on_scale, shared_limits
from .declared import Here, Say
from .phrases import number
from .results import Grid, Limits, Result
from .selection import Look, Selection


@dataclass(frozen=True)
class ScaleLook(Look):
    """Of which quantity, and its ends; None: every picture has the scale of its own values."""

    travels: ClassVar[bool] = False
    of: tuple[str, str, bool] = ("", "", False)
    limits: Limits | None = None


def _quantity(grid: Grid) -> tuple[str, str, bool]:
    """What two pictures have in common that can be on one scale."""
    return grid.header.view, grid.header.unit, grid.diverging


def toggle(here: Here) -> Selection | Say:
    """Lock the scale of the picture that is shown, or free it."""
    look, grid = here.s.look(ScaleLook), here.drawn
    if look.limits is not None:
        return here.s.put(ScaleLook())
    if not isinstance(grid, Grid):
        return Say("this picture has no colour scale: = locks that of a matrix")
    limits = shared_limits(grid, grid)
    if limits is None:
        return Say("the colours of this picture have fixed ends already: they are comparable as they are")
    return here.s.put(replace(look, of=_quantity(grid), limits=limits))


def on_locked(s: Selection, drawn: Result | None) -> tuple[Result | None, str]:
    """A picture on the scale that was locked, and what its title says of it."""
    look = s.look(ScaleLook)
    limits = look.limits
    if limits is None or not isinstance(drawn, Grid) or _quantity(drawn) != look.of:
        return drawn, ""
    if drawn.limits is not None or drawn.column_limits:  # its ends are those of the quantity
        return drawn, ""
    most = shared_limits(drawn, drawn) or limits
    beyond = ", some beyond it" if most[1] > limits[1] or most[0] < limits[0] else ""
    ends = f"±{number(limits[1])}" if drawn.diverging else f"{number(limits[0])} to {number(limits[1])}"
    return on_scale(drawn, limits), f"scale locked {ends}{beyond}"
