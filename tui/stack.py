"""The stack of interventions: what keys put on it, and its list beside every page. Pure functions of the selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from . import notation, pages
from .declared import Here, Lookup, Nothing, Panel, Problem, Question, Say
from .engine import jobs
from .names import head_at, neuron_at, part_at, sender_of
from .page import everywhere
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
    passing: ClassVar[tuple[str, ...]] = ("marked", "edited")
    how: jobs.How = "zero"
    marked: tuple[str, ...] = ()
    edited: int | None = None
    """Which one is being written anew; None: the last."""


def part_here(here: Here, listed: str | None = "") -> str:
    """The head, MLP or neuron under the cursor: of a list (``listed``; None: one that shows no row), of the picture,
    else the selected head."""
    if listed is None:
        return ""
    for name in (sender_of(listed), pages.of(here.s).part(here)):
        found = part_at(name)
        if neuron_at(name) or (found is not None and found.kind != "bias"):
            return name
    return "" if here.s.head is None else here.s.name


def toggle(here: Here, listed: str | None = "") -> Selection | Say:
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


def kind(s: Selection, entry: int | None = None) -> Selection | Say:
    """The next kind of knock-out: of the change that is meant, and of those that come."""
    kinds = get_args(jobs.How)
    look, at = s.look(StackLook), _meant(s, entry)
    last = s.stack[at] if s.stack and _is_ablation(s.stack[at]) else None
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
        return _put(s, at, replace(last, change=replace(made, positions=last.change.positions)))  # type: ignore[attr-defined]
    return s


def mark(here: Here, listed: str | None = "") -> Selection | Say:
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


def _meant(s: Selection, entry: int | None) -> int:
    """The change that a key is about: that under the cursor of their list, else the last."""
    return len(s.stack) - 1 if entry is None else min(entry, len(s.stack) - 1)


def _put(s: Selection, at: int, *entries: Entry) -> Selection:
    """Others in the place of one."""
    return replace(s, stack=(*s.stack[:at], *entries, *s.stack[at + 1 :]))


def undo(s: Selection, entry: int | None = None) -> Selection | Say:
    """Take an intervention off."""
    return _put(s, _meant(s, entry)) if s.stack else EMPTY


def shift(s: Selection, entry: int | None = None) -> Selection | Say:
    """The change under the cursor of the list one further up, the first one to the bottom."""
    if not s.stack:
        return EMPTY
    if entry is None:
        return Say("^ moves the change under the cursor of their list: p shows it, tab gives it the keys")
    at = _meant(s, entry)
    rest = (*s.stack[:at], *s.stack[at + 1 :])
    to = shifted(s, at)
    return replace(s, stack=(*rest[:to], s.stack[at], *rest[to:]))


def shifted(s: Selection, entry: int) -> int:
    """Where ``shift`` puts a change."""
    return (entry - 1) % len(s.stack)


def place(s: Selection, entry: int | None = None) -> Selection | Say:
    """Where a change is made: everywhere, at the cursor's position, from there on, up to there."""
    if not s.stack:
        return EMPTY
    if s.tokens is None:
        return Say("no tokens yet: press i and type a prompt")
    at = _meant(s, entry)
    change, here, n = s.stack[at].change, s.position, len(s.tokens)
    if not isinstance(change, jobs.Ablation | jobs.Patch | jobs.AddVector):
        return Say("an edge is one cell of a pattern: x cuts the one under the cursor")
    spans: list[jobs.Span] = [None, (here,), tuple(range(here, n)), tuple(range(here + 1))]
    spans = list(dict.fromkeys(span for span in spans if span is None or len(span) < n or n == 1))
    now = spans.index(change.positions) if change.positions in spans else -1
    return _put(s, at, replace(s.stack[at], change=replace(change, positions=spans[(now + 1) % len(spans)])))


def contrast(s: Selection) -> Selection | Say:
    """The changed model, the clean one, the difference."""
    if not s.stack:
        return EMPTY
    if not s.changes:
        return Say("every change is switched off: enter in the list of changes (p) switches one on")
    order: tuple[Contrast, ...] = get_args(Contrast)
    return replace(s, contrast=order[(order.index(s.contrast) + 1) % len(order)])


def write(s: Selection, entry: int | None) -> Selection | Say:
    """Write one anew, or the last."""
    if entry is not None and entry < len(s.stack) and not notation.written(s.stack[entry].change):
        return Say(f"{s.stack[entry].change} cannot be written anew: backspace takes it off, I adds another direction")
    return s.put(replace(s.look(StackLook), edited=entry))


KEYS: dict[str, Callable[[Here, str | None], Selection | Say]] = {
    "toggle": toggle, "mark": mark, "cut": lambda here, listed: cut(here),
    "contrast": lambda here, listed: contrast(here.s),
    "circuit": lambda here, listed: chosen(here.s, _edge_here(here, listed) or part_here(here, listed)),
    "continue": lambda here, listed: continued(here.s),
}  # fmt: skip
"""What the explorer's keys do; they get the name under the cursor of a list, where that has the keys."""
OF_ENTRY: dict[str, Callable[[Selection, int | None], Selection | Say]] = {
    "kind": kind, "undo": undo, "shift": shift, "place": place, "write": write,
}  # fmt: skip
"""Those about one change: the one under the cursor of the list of changes, where that has the keys, else the last."""


def _edge_here(here: Here, listed: str | None) -> str:
    return "" if listed is None else pages.of(here.s).edge(here, listed)


def pressed(name: str, here: Here, listed: str | None, entry: int | None) -> Selection | Say:
    """What a key makes of the selection."""
    return OF_ENTRY[name](here.s, entry) if name in OF_ENTRY else KEYS[name](here, listed)


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


def _edited(s: Selection) -> str:
    return notation.written(s.stack[_meant(s, s.look(StackLook).edited)].change) if s.stack else ""


def _missing(s: Selection, name: str) -> str:
    """That the model does not have a part, or ""."""
    model, part, neuron = s.model, part_at(name), neuron_at(name)
    if model is None:
        return ""
    layer = neuron[0] if neuron else part.layer if part else 0
    if layer >= model.n_layers:
        return f"{name} does not exist: the layers of {model.name} are 0 to {model.n_layers - 1}"
    if part is not None and part.head is not None and part.head >= model.n_heads:
        return f"{name} does not exist: the heads of {model.name} are 0 to {model.n_heads - 1}"
    if neuron and model.d_mlp and neuron[1] >= model.d_mlp:
        return f"{name} does not exist: a layer of {model.name} has neurons 0 to {model.d_mlp - 1}"
    return ""


def _answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    """What is written takes the place of the change that was meant; nothing takes it away."""
    at = _meant(s, s.look(StackLook).edited) if _edited(s) else len(s.stack)
    if not text.strip():
        return _put(s, at)
    reference = s.file.prepared if s.file is not None else None
    made = []
    for item in text.split(";"):
        change = notation.read(item, reference, s.weights, s.corrupted)
        if isinstance(change, str):
            steps = {"none is open": ": O opens one", "no other prompt": ": P takes one"}
            return Problem(change + next((step for said, step in steps.items() if said in change), ""))
        if why := _missing(s, getattr(change, "part", "")):
            return Problem(why)
        made.append(Entry(change))
    return replace(_put(s, at, *made), contrast="changed")


QUESTION = Question(
    "change", "Change", "L1H3 · L2.mlp mean · L1H3@4-6 scale 0.5 · L1H3 5>3 drop · several with ; · empty: none",
    _answered, _edited,
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
    at = listed_at(table, row)
    if at is None or at >= len(here.s.stack):
        return Say("enter on a change switches it off and on, backspace takes it away, J moves it, @ says where it is")
    entry = here.s.stack[at]
    return _put(here.s, at, replace(entry, on=not entry.on))


def listed_at(table: Table, row: int) -> int | None:
    """Which change a row of their list is; None: it is a run."""
    at = row - _runs(table)
    return None if at < 0 else at


def row_of(table: Table, entry: int) -> int:
    """The inverse of ``listed_at``."""
    return entry + _runs(table)


def _runs(table: Table) -> int:
    """Rows before the changes: the clean run, and all of them where there are several."""
    return 2 if len(table.rows) > 1 and table.rows[1][0] == jobs.TOGETHER else 1


CHANGES = Panel(
    "changes", _effect, lambda here: f"what is changed, {where(here.s)}", shape=lambda here, result: result,
    opens=_switched, offered=lambda s: bool(s.stack),
)  # fmt: skip
everywhere(CHANGES)
