"""Circuit: the circuit that is put together as a graph, its edges by what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import arrange
from ..declared import Asked, Export, Given, Here, Nothing, Panel, Say, Segments
from ..engine import jobs
from ..names import EMBED, LOGITS, Circuit, edge_name, part_at
from ..page import Page
from ..phrases import STRONG, field, number, row_of, waiting
from ..results import Graph, Result, Table
from ..selection import Look, Selection
from . import pair
from .chosen import ChosenLook, size_of
from .going import to_part
from .patching import likeliest_of
from .paths import PathsPage, to_receiver

LEAST = 0.05
"""Share of the strongest edge below which one that nobody has marked is not drawn."""
STRONGEST = 4
"""Edges of a node in its line."""


@dataclass(frozen=True)
class NodeLook(Look):
    """The node under the cursor."""

    passing: ClassVar[tuple[str, ...]] = ("node",)
    node: str = ""

    def for_model(self) -> NodeLook:
        return NodeLook()


def nodes_of(job: jobs.CircuitPaths | jobs.CircuitComposition) -> tuple[str, ...]:
    """The parts, with the embedding and the logits where edges lead from and to them."""
    measured = isinstance(job, jobs.CircuitPaths) and not job.edges
    first = measured or any(sender == EMBED for sender, _ in job.edges)
    last = measured or any(receiver == LOGITS for _, receiver in job.edges)
    return (*[EMBED] * first, *job.parts, *[LOGITS] * last)


def _opens(here: Here, table: Table, row: int) -> Selection:
    """Who else sends to the receiver of the edge."""
    return to_receiver(replace(here.s, page=PathsPage.name), str(row_of(table, row)["receiver"]))


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.job(here.s)


EDGES = Panel("edges of the circuit", _job, lambda here: "edges, ranked",
              lambda here, result: result, _opens, lambda s: bool(s.look(ChosenLook).parts))  # fmt: skip


def _exported(ask: Asked) -> jobs.Job:
    o, key, circuit = ask.options, ask.model.key, ask.circuit()
    if o.clean is None:
        return jobs.CircuitComposition(key, *circuit)
    clean, corrupted = (
        jobs.Run(key, tokens.ids, tokens.bos)
        for tokens in (ask.get(jobs.Tokenize(key, text, ask.with_bos, ask.as_chat)) for text in (o.clean, o.corrupted))
    )
    target = ask.given_target() or likeliest_of(ask, clean, corrupted)
    return jobs.CircuitPaths(clean, corrupted, target, *circuit, memory=(o.memory or 1024) << 20)


def _gives(job: jobs.Job) -> Given | None:
    match job:
        case jobs.CircuitComposition():
            return {"file": Circuit(job.parts, job.edges)}
        case jobs.CircuitPaths():
            return {"file": Circuit(job.parts, job.edges), "clean": job.clean, "corrupted": job.corrupted,
                    "target": job.target}  # fmt: skip
    return None


def _refused(o: Any) -> str:
    if (o.clean is None) != (o.corrupted is None):
        return "circuit-graph needs --clean TEXT and --corrupted TEXT, or neither: composition then"
    if o.clean is None and (o.answer or o.memory):
        return "--answer and --memory are of paths: give --clean TEXT and --corrupted TEXT"
    return ""


class CircuitPage(Page):
    name = "wiring"
    title = "Circuit"
    key = "Q"
    help = "The circuit as a graph: how its heads and MLPs are joined, up and down walk them, enter opens one."
    says = ("node × lane of a sender", "the circuit that `c` puts together: a line for each part, a lane for what each "
            "sends, a mark where another receives it, by its effect: the share of the answer that comes back along "
            "that edge alone where a pair of prompts is typed (`P`), else the z of composition; its own edges where it "
            "has some, else all between its parts")  # fmt: skip
    group = "Find"
    panels = (EDGES,)
    exports = (
        Export("circuit-graph", _exported, ("clean", "corrupted", "answer", "distractor", "memory", "bos"), {}, "pair",
               ignores=("weights",), file="as circuit reads it", refuses=_refused, gives=_gives),
    )  # fmt: skip
    long = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        look = s.look(ChosenLook)
        if s.key is None:
            return Nothing()
        if not look.parts:
            return Nothing("no circuit yet: c puts the head or MLP under the cursor into it, in Paths (Y) an edge")
        if s.pair is None:
            return jobs.CircuitComposition(s.key, *look.circuit)
        if why := pair.refused(s):
            return why
        wanted = pair.target(s)
        assert s.run is not None
        assert s.corrupted is not None
        assert wanted is not None
        return jobs.CircuitPaths(s.run, s.corrupted, wanted, *look.circuit)

    def shape(self, s: Selection, result: Result) -> Result:
        job = self.job(s)
        if not isinstance(result, Table) or not isinstance(job, jobs.CircuitPaths | jobs.CircuitComposition):
            return result
        return arrange.graph(result, nodes_of(job), 0.0 if job.edges else LEAST)

    def words(self, s: Selection) -> list[str]:
        look = s.look(ChosenLook)
        if not look.parts:
            return [look.title]
        whole = f"{look.title} of {size_of(look.circuit)}"
        if s.pair is None:
            return [whole, "composition, z", "P measures paths"]
        return [whole, "paths, direct", f"logit difference {pair.aimed(s)}", pair.both(s)]

    # --- the cursor ---

    def _nodes(self, s: Selection) -> tuple[str, ...]:
        job = self.job(s)
        return nodes_of(job) if isinstance(job, jobs.CircuitPaths | jobs.CircuitComposition) else ()

    def cell(self, s: Selection) -> tuple[int, int]:
        nodes, node = self._nodes(s), s.look(NodeLook).node
        return (nodes.index(node) if node in nodes else 0), 0

    def at(self, s: Selection, row: int, col: int) -> Selection:
        nodes = self._nodes(s)
        return s.put(NodeLook(nodes[row])) if 0 <= row < len(nodes) else s

    # --- what is said and opened ---

    def part(self, here: Here) -> str:
        nodes = self._nodes(here.s)
        name = nodes[self.cell(here.s)[0]] if nodes else ""
        return name if part_at(name) else ""

    def line(self, here: Here) -> Segments:
        graph = here.drawn
        if not isinstance(graph, Graph) or not graph.nodes:
            return waiting(here)
        at = self.cell(here.s)[0]
        mine = [
            (edge_name((graph.nodes[link.sender], graph.nodes[link.receiver] + (f".{side}" if side else ""))), effect)
            for link in graph.links if at in (link.sender, link.receiver) for side, effect in link.effects
        ]  # fmt: skip
        mine.sort(key=lambda one: -abs(one[1]) if one[1] is not None else 1.0)
        out: Segments = [(f" {graph.nodes[at]} ", STRONG)]
        for name, effect in mine[:STRONGEST]:
            out += field(name, "not known" if effect is None else number(effect, 3))
        return out if mine else [*out, (" no edge of it is drawn ", "")]

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        nodes = self._nodes(here.s)
        name = nodes[row] if row < len(nodes) else ""
        return to_part(here.s, name) if part_at(name) else Say(f"{name}: there is nothing more to open here")


PAGE = CircuitPage()
