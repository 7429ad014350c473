"""The circuit that is put together, beside every page: its heads, MLPs, edges, and how much of the model they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from ..declared import Asked, Export, Given, Here, Nothing, Panel, Problem, Question, Say
from ..engine import jobs
from ..kept import FIRST
from ..names import Circuit, Edge, edge_at, edge_name, is_edge, is_node, part_at, receiver_at
from ..page import everywhere
from ..phrases import row_of
from ..results import ModelInfo, Result, Table
from ..selection import Look, Selection
from .going import to_part
from .paths import PathsPage, to_receiver

MINIMALITY = "minimality of "
NAME = "circuit"
LONGEST = 40
"""Letters of a circuit's name."""


@dataclass(frozen=True)
class ChosenLook(Look):
    """The circuit's parts and edges, in the model's order, its name, and the other circuits of the model."""

    travels: ClassVar[bool] = False
    parts: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    name: str = FIRST
    others: tuple[tuple[str, Circuit], ...] = ()

    def for_model(self) -> ChosenLook:
        return ChosenLook()

    @property
    def circuit(self) -> Circuit:
        return Circuit(self.parts, self.edges)

    @property
    def all(self) -> dict[str, Circuit]:
        """Every circuit of the model by its name, this one first; one without a name counts when it has parts."""
        own = {self.name: self.circuit} if self.there else {}
        return own | dict(self.others)

    @property
    def there(self) -> bool:
        """Whether there is a circuit, if only its name."""
        return bool(self.parts or self.edges) or self.name != FIRST

    @property
    def title(self) -> str:
        """``circuit``, ``circuit induction``."""
        return NAME if self.name == FIRST else f"{NAME} {self.name}"

    def with_circuit(self, circuit: Circuit) -> ChosenLook:
        return replace(self, parts=circuit.parts, edges=circuit.edges)

    def shown(self, name: str) -> ChosenLook:
        """Another circuit; one that there is not yet is empty, or a name for what has none."""
        circuits = self.all
        if name not in circuits and self.name == FIRST:
            return replace(self, name=name)
        own = circuits.pop(name, Circuit())
        return ChosenLook(*own, name, tuple(circuits.items()))

    def forgotten(self) -> ChosenLook:
        """Without the one that is shown."""
        first, *rest = self.others or ((FIRST, Circuit()),)
        return ChosenLook(*first[1], first[0], tuple(rest))


def chosen(s: Selection, name: str) -> Selection | Say:
    """Put a head, an MLP or an edge (``L0H2 → L2H2.k``) into the circuit, or take it out."""
    look = s.look(ChosenLook)
    if is_edge(name):
        edge = edge_at(name)
        if isinstance(edge, str):
            return Say(edge)
        circuit = look.circuit.with_edge(edge)
    elif is_node(name):
        circuit = look.circuit.with_part(name)
    else:
        return Say("no head and no MLP is under the cursor here")
    there = s.put(look.with_circuit(circuit))
    return there if look.parts or look.edges else replace(there, panel=NAME)


def of_model(s: Selection, circuits: Mapping[str, Circuit]) -> Selection:
    """With circuits that were kept, as far as the model has their parts; the first is shown."""
    model = s.model
    if model is None or not circuits:
        return s
    found = [(name, _in_model(circuit, model)) for name, circuit in circuits.items()]
    return s.put(ChosenLook(*found[0][1], found[0][0], tuple(found[1:])))


def _in_model(circuit: Circuit, model: ModelInfo) -> Circuit:
    def has(name: str) -> bool:
        part = part_at(name)
        return part is None or (
            part.layer < model.n_layers and (model.has_mlp if part.head is None else part.head < model.n_heads)
        )

    def reads(name: str) -> bool:
        at = receiver_at(name)
        return at is not None and has(at.part)

    edges = (edge for edge in circuit.edges if has(edge[0]) and reads(edge[1]))
    return Circuit(tuple(filter(has, circuit.parts)), tuple(edges))


# --- its name ---


def _named(s: Selection, text: str) -> Selection | Problem:
    look = s.look(ChosenLook)
    if not text:
        return s.put(look.forgotten())
    if len(text) > LONGEST or set(text) & set("[]#") or not text.isprintable():
        return Problem(f"a name has up to {LONGEST} letters, without brackets and #: induction")
    return replace(s.put(look.shown(text)), panel=NAME)


def _listed(s: Selection) -> str:
    """The circuits that there are, with their sizes."""
    return " · ".join(f"{name} ({size_of(circuit)})" for name, circuit in s.look(ChosenLook).all.items())


QUESTION = Question(
    "circuits", "Circuit", "a name: that circuit, a new one, or a name for the one that has none · empty: forget the "
    "one that is shown", _named, lambda s: s.look(ChosenLook).name if s.look(ChosenLook).there else "", lists=_listed,
)  # fmt: skip


def size_of(circuit: Circuit) -> str:
    """``7 parts``, ``1 part and 2 edges``."""
    parts, edges = len(circuit.parts), len(circuit.edges)
    size = f"{parts} part{'s' if parts != 1 else ''}"
    return f"{size} and {edges} edge{'s' if edges != 1 else ''}" if edges else size


# --- its panel ---


def _job(here: Here) -> jobs.Job | Nothing:
    s = here.s
    look = s.look(ChosenLook)
    if s.key is None:
        return Nothing()
    if not look.parts:
        return Nothing("it is empty: c puts the head or MLP under the cursor into it, in Paths (Y) an edge")
    parts = ", ".join((*look.parts, *map(edge_name, look.edges)))
    if s.file is None:
        return Nothing(f"{parts} · scores are over a file of prompts with answers: O opens one, such as induction")
    if s.file.prepared is None:
        return Nothing()
    if None in s.file.prepared.targets:
        at = s.file.prepared.targets.index(None) + 1
        return Nothing(f"{parts} · prompt {at} of {s.file.name} has no answer: scores are of answers")
    return jobs.CircuitScores(s.key, s.file.prepared, look.parts, s.file.prepared, edges=look.edges)


def _shape(here: Here, result: Result) -> Result:
    """Each score beside the mean and the span of random circuits' in one column: there is little room."""
    if not isinstance(result, Table):
        return result
    rows = []
    for row in range(len(result.rows)):
        named = row_of(result, row)
        low, high = named["random min"], named["random max"]
        span = f"{low:.2f} … {high:.2f}".replace("-", "−") if isinstance(low, float) else ""
        rows.append((str(named["score"]).removeprefix(MINIMALITY), named["circuit"], span))
    rows += [(edge_name(edge), None, "") for edge in here.s.look(ChosenLook).edges]
    return Table(result.header, ("score", NAME, "random"), tuple(rows))


def _opens(here: Here, table: Table, row: int) -> Selection | Say:
    """The part that a row is about, or who sends to the receiver of its edge."""
    name = str(row_of(table, row)["score"])
    if is_edge(name):
        edge = edge_at(name)
        assert not isinstance(edge, str)
        return to_receiver(replace(here.s, page=PathsPage.name), edge[1])
    return to_part(here.s, name) if is_node(name) else Say("enter on a part of the circuit shows it; c takes it out")


def _title(here: Here) -> str:
    s, look = here.s, here.s.look(ChosenLook)
    over = f" over {s.file.name}" if s.file is not None else ""
    return f"{look.title} of {size_of(look.circuit)}{over}"


PANEL = Panel(NAME, _job, _title, _shape, _opens, offered=lambda s: s.look(ChosenLook).there)
everywhere(PANEL)


def _exported(ask: Asked) -> jobs.Job:
    o, circuit = ask.options, ask.circuit()
    return jobs.CircuitScores(
        ask.model.key, ask.prompts(), circuit.parts, ask.reference(), o.seed or 0, o.memory or 1024, circuit.edges
    )


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.CircuitScores):
        return None
    return {"file": Circuit(job.nodes, job.edges), "prompts": job.prompts, "reference": job.reference,
            "seed": job.seed or None}  # fmt: skip


EXPORT = Export(
    NAME, _exported, ("prompts", "reference", "seed", "memory", "answer", "distractor"), reads="prompts",
    ignores=("weights",), file="one head or MLP a line, or edge (L0H2 -> L1H3.k), # before comments; or the name of a "
    "circuit that was kept", gives=_gives,
)  # fmt: skip
