"""The stack of interventions: what keys put on it, and its list beside every page. Pure functions of the selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from . import notation, pages
from .engine import jobs
from .names import head_at, neuron_at, part_at
from .page import Here, Lookup, Nothing, Panel, Problem, Question, Say, everywhere
from .pages.chosen import chosen
from .pages.continuing import continued
from .phrases import where
from .results import Table
from .selection import Contrast, Entry, Look, Selection

EMPTY = Say("nothing is changed: a knocks out the part under the cursor, x cuts a cell of a pattern")
NO_TARGET = Nothing("no answer yet: A sets one")


@dataclass(frozen=True)
class StackLook(Look):
    """What the next intervention is, and what is marked for it."""

    travels: ClassVar[bool] = False
    how: jobs.How = "zero"
    marked: tuple[str, ...] = ()


def part_here(here: Here, listed: str = "") -> str:
    """The head, MLP or neuron under the cursor: of a list (``listed``), of the picture, else the selected head."""
    for name in (listed, pages.of(here.s).part(here)):
        found = part_at(name)
        if neuron_at(name) or (found is not None and found.kind != "bias"):
            return name
    return "" if here.s.head is None else here.s.name


def toggle(here: Here, listed: str = "") -> Selection | Say:
    """Knock out what is marked, or else the part under the cursor; one that is on the stack comes off it."""
    s = here.s
    if s.model is None:
        return Say("no model is there yet")
    marked = s.look(StackLook).marked
    names = marked or ((part_here(here, listed),) if part_here(here, listed) else ())
    if not names:
        return Say("no head, MLP or neuron is under the cursor here")
    there = [entry for entry in s.stack if getattr(entry.change, "part", "") in names and _is_ablation(entry)]
    if there and not marked:
        return replace(s, stack=tuple(entry for entry in s.stack if entry not in there))
    made = [_ablation(s, name, s.look(StackLook).how) for name in names]
    if isinstance(made[0], Say):
        return made[0]
    new = tuple(Entry(change) for change in made if not isinstance(change, Say))
    s = s.put(replace(s.look(StackLook), marked=()))
    return replace(s, stack=(*(entry for entry in s.stack if entry not in there), *new), contrast="changed")


def _is_ablation(entry: Entry) -> bool:
    return isinstance(entry.change, jobs.Ablation)


def _ablation(s: Selection, name: str, how: jobs.How) -> jobs.Ablation | Say:
    reference = s.file.prepared if s.file is not None else None
    if how in ("mean", "resample", "noise"):
        if reference is None:
            return Say(f"{how} reads a file of prompts, and none is open: O opens one")
        return jobs.Ablation(name, how, reference=reference)
    return jobs.Ablation(name, how, amount=0.5 if how == "scale" else 1.0, weights=s.weights)


def kind(s: Selection) -> Selection | Say:
    """The next kind of knock-out: of the last one on the stack, and of those that come."""
    kinds = get_args(jobs.How)
    look = s.look(StackLook)
    last = s.stack[-1] if s.stack and _is_ablation(s.stack[-1]) else None
    now = last.change.how if last is not None and isinstance(last.change, jobs.Ablation) else look.how
    for step in range(1, len(kinds) + 1):
        how = kinds[(kinds.index(now) + step) % len(kinds)]
        name = last.change.part if last is not None and isinstance(last.change, jobs.Ablation) else "L0H0"
        made = _ablation(s, name, how)
        if isinstance(made, Say):
            continue
        s = s.put(replace(look, how=how))
        if last is None:
            return s
        return replace(s, stack=(*s.stack[:-1], replace(last, change=made)))
    return s


def mark(here: Here, listed: str = "") -> Selection | Say:
    """Mark the part under the cursor for ``a``, or no longer."""
    name = part_here(here, listed)
    if not name:
        return Say("no head, MLP or neuron is under the cursor here")
    look = here.s.look(StackLook)
    marked = tuple(other for other in look.marked if other != name)
    return here.s.put(replace(look, marked=marked if len(marked) < len(look.marked) else (*marked, name)))


def cut(here: Here) -> Selection | Say:
    """Cut the cell of the pattern under the cursor: knocked out, then dropped, then whole again."""
    s = here.s
    if not isinstance(pages.of(s).shown(s), jobs.Pattern):
        return Say("x cuts a cell of one head's attention pattern: 1 shows it")
    query, key = s.prompt_cell
    if key > query and not _sees(here, query, key):
        return Say("this cell is masked: the head does not look there")
    edges = [jobs.CutEdge(s.name, query, key, how) for how in get_args(jobs.Cut)]
    there = next((entry for entry in s.stack if entry.change in edges), None)
    if there is None:
        return replace(s, stack=(*s.stack, Entry(edges[0])), contrast="changed")
    at = edges.index(there.change)  # type: ignore[arg-type]
    rest = tuple(entry for entry in s.stack if entry is not there)
    return replace(s, stack=rest) if at + 1 == len(edges) else replace(s, stack=(*rest, Entry(edges[at + 1])))


def _sees(here: Here, query: int, key: int) -> bool:
    values = getattr(here.drawn, "values", None)
    return values is not None and bool(values[query, key] == values[query, key])


def undo(s: Selection) -> Selection | Say:
    """Take the last intervention off."""
    return replace(s, stack=s.stack[:-1]) if s.stack else EMPTY


def contrast(s: Selection) -> Selection | Say:
    """The changed model, the clean one, the difference."""
    if not s.stack:
        return EMPTY
    if not s.changes:
        return Say("every change is switched off: enter in the list of changes (p) switches one on")
    order: tuple[Contrast, ...] = get_args(Contrast)
    return replace(s, contrast=order[(order.index(s.contrast) + 1) % len(order)])


KEYS: dict[str, Callable[[Here, str], Selection | Say]] = {
    "toggle": toggle, "mark": mark, "cut": lambda here, listed: cut(here), "kind": lambda here, listed: kind(here.s),
    "undo": lambda here, listed: undo(here.s), "contrast": lambda here, listed: contrast(here.s),
    "circuit": lambda here, listed: chosen(here.s, part_here(here, listed)),
    "continue": lambda here, listed: continued(here.s),
}  # fmt: skip
"""What the explorer's keys do; they get the name under the cursor of a list, where that has the keys."""


def in_tree(s: Selection) -> dict[jobs.HeadAt, str]:
    """What the tree says of heads that are changed or marked."""
    look, out = s.look(StackLook), dict[jobs.HeadAt, str]()
    for name in look.marked:
        if (at := head_at(name)) is not None:
            out[at] = "marked"
    for change in s.changes if s.contrast != "clean" else ():
        if isinstance(change, jobs.Ablation) and (at := head_at(change.part)) is not None:
            out[at] = "✗ folded" if change.how == jobs.FOLDED else f"✗ {change.how}"
        elif isinstance(change, jobs.CutEdge) and (at := head_at(change.part)) is not None:
            out.setdefault(at, "✗ edge")
    return out


# --- a change that is written ---


def _last(s: Selection) -> str:
    return notation.written(s.stack[-1].change) if s.stack else ""


def _answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    """What is written takes the place of the last change; nothing takes it away."""
    before = s.stack[:-1] if _last(s) else s.stack
    if not text.strip():
        return replace(s, stack=before)
    reference = s.file.prepared if s.file is not None else None
    made = []
    for item in text.split(";"):
        change = notation.read(item, reference, s.weights, s.corrupted)
        if isinstance(change, str):
            steps = {"none is open": ": O opens one", "no other prompt": ": P takes one"}
            return Problem(change + next((step for said, step in steps.items() if said in change), ""))
        made.append(Entry(change))
    return replace(s, stack=(*before, *made), contrast="changed")


QUESTION = Question(
    "change", "Change", "L1H3 · L2.mlp mean · L1H3@4-6 scale 0.5 · L1H3 5>3 drop · several with ; · empty: none",
    _answered, _last,
)  # fmt: skip


# --- its list ---


def _effect(here: Here) -> jobs.Job | Nothing:
    s = here.s
    if s.run is None:
        return Nothing("no tokens yet: press i and type a prompt")
    if s.target is None:
        return NO_TARGET
    entries = tuple((entry.change, entry.on) for entry in s.stack)
    return jobs.StackEffect(s.run.clean, entries, s.position, s.target)


def _switched(here: Here, table: Table, row: int) -> Selection | Say:
    """Switch a change off or on."""
    s = here.s
    at = row - (len(table.rows) - len(s.stack))
    if not 0 <= at < len(s.stack):
        return Say("enter on a change switches it off and on; backspace takes the last one away")
    entry = s.stack[at]
    return replace(s, stack=(*s.stack[:at], replace(entry, on=not entry.on), *s.stack[at + 1 :]))


CHANGES = Panel(
    "changes", _effect, lambda here: f"what is changed, {where(here.s)}", shape=lambda here, result: result,
    opens=_switched, offered=lambda s: bool(s.stack),
)  # fmt: skip
everywhere(CHANGES)
