"""Side panels that several pages have."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from ..declared import NO_HEAD, NO_TOKENS, Asked, Export, Given, Here, Nothing, Panel
from ..engine import jobs
from ..names import neuron_at
from ..phrases import as_tokens, token
from ..results import head_name
from ..selection import Selection
from . import circuit
from .circuit import CircuitLook


def of_head(s: Selection) -> bool:
    """Whether a head is selected."""
    return s.head is not None


def position(here: Here) -> str:
    """The token that the cursor's row stands for."""
    return token(here.s.tokens, here.s.position)


def _next_tokens(here: Here) -> jobs.NextTokens | Nothing:
    run = here.s.run
    return NO_TOKENS if run is None else jobs.NextTokens(run, here.s.position)


NEXT_TOKENS = Panel("next tokens", _next_tokens, lambda here: f"after {position(here)}")


def head_writes(source: Callable[[Selection], int], shown: Callable[[Selection], bool] = lambda s: True) -> Panel:
    """What one token makes the head write. ``source``: which of the page's tokens."""

    def title(here: Here) -> str:
        return f"{here.s.name}: {token(circuit.tokens_of(here.s), source(here.s))} writes"

    return Panel("head writes", lambda here: circuit.source_row(here.s, circuit.tokens_of(here.s), source(here.s)),
                 title, offered=shown)  # fmt: skip


def directions(
    vector: Callable[[Here], jobs.Vector | None],
    what: Callable[[Here], str],
    offered: Callable[[Selection], bool] = lambda s: True,
) -> Panel:
    """The vector under the cursor, read out over the vocabulary."""

    def job(here: Here) -> jobs.Directions | jobs.NeuronTokens | Nothing:
        if neuron_at(what(here)) is not None:
            return _neuron_tokens(here, what(here))
        found, run = vector(here), here.s.run
        if run is None:
            return NO_TOKENS
        return (
            Nothing("no vector of the stream is under the cursor here")
            if found is None
            else jobs.Directions(run, found)
        )

    return Panel("directions", job, lambda here: as_tokens(what(here), here.s), offered=offered)


def neuron_writes(part: Callable[[Here], str], offered: Callable[[Selection], bool] = lambda s: True) -> Panel:
    """What the neuron under the cursor promotes and suppresses."""
    return Panel("neuron writes", lambda here: _neuron_tokens(here, part(here)),
                 lambda here: as_tokens(part(here), here.s), offered=offered)  # fmt: skip


def _neuron_tokens(here: Here, name: str) -> jobs.NeuronTokens | Nothing:
    neuron = neuron_at(name)
    if neuron is None or here.s.key is None:
        return Nothing("this row is no neuron: put the cursor on one")
    return jobs.NeuronTokens(here.s.key, *neuron, here.s.weights)


def part_write(part: str, s: Selection) -> jobs.PartWrite | None:
    """What a part of the stream writes at the position."""
    return jobs.PartWrite(part, s.position) if part else None


# --- partners and neighbours over the vocabulary ---

_SIDES: dict[str, tuple[jobs.PartnerSide, str]] = {
    "seeks": ("query", "seeks"), "sought by": ("key", "is sought by"), "written by": ("output", "is written by"),
}  # fmt: skip
_ENDS: dict[str, jobs.Ends] = {"nearest in W_E": "embedding", "nearest in W_U": "unembedding"}


def partners(s: Selection, token_id: int, side: jobs.PartnerSide) -> jobs.Partners | Nothing:
    """The best partners of a token in the selected head."""
    if s.key is None or s.head is None:
        return NO_HEAD
    look = s.look(CircuitLook)
    if look.basis == "prompt":
        return Nothing("a search is over the whole vocabulary: basis prompt reads one text, b changes it")
    return jobs.Partners(s.key, s.layer, s.head, token_id, side, s.weights, look.basis, circuit.offset(s))


def _searchable(s: Selection) -> bool:
    return s.head is not None and s.look(CircuitLook).basis != "prompt"


def _chosen(here: Here, name: str) -> int:
    """Which of the tokens a search is about: the row's, or the column's."""
    return circuit.cell_of(here.s)[name in ("sought by", "written by")]


def partner_panel(name: str) -> Panel:
    """A side panel that searches the vocabulary for partners of a token."""

    def job(here: Here) -> jobs.Partners | Nothing:
        tokens = circuit.tokens_of(here.s)
        if tokens is None or not len(tokens):
            return NO_TOKENS
        side = _SIDES[name][0]
        chosen = circuit.output_of(here.s) if side == "output" else tokens.ids[_chosen(here, name)]
        return partners(here.s, chosen, side)

    def title(here: Here) -> str:
        names = circuit.classes(here.s) if _SIDES[name][0] == "output" else ()
        chosen = names[circuit.output_of(here.s)] if names else token(circuit.tokens_of(here.s), _chosen(here, name))
        return f"{here.s.name}: {chosen} {_SIDES[name][1]}"

    return Panel(name, job, title, offered=_searchable)


def nearest_panel(name: str) -> Panel:
    """A side panel with the nearest tokens in the embedding or the unembedding."""

    def job(here: Here) -> jobs.Nearest | Nothing:
        tokens = circuit.tokens_of(here.s)
        if tokens is None or not len(tokens) or here.s.key is None:
            return NO_TOKENS
        return jobs.Nearest(here.s.key, tokens.ids[circuit.cell_of(here.s)[0]], _ENDS[name])

    def title(here: Here) -> str:
        chosen = token(circuit.tokens_of(here.s), circuit.cell_of(here.s)[0])
        return name.replace("nearest", f"nearest to {chosen}")

    def offered(s: Selection) -> bool:
        return _searchable(s) and not (_ENDS[name] == "unembedding" and circuit.classes(s))  # the row is a token

    return Panel(name, job, title, offered=offered)


NEAREST = tuple(map(nearest_panel, _ENDS))


# --- without a screen ---


def _exported_directions(ask: Asked) -> jobs.Directions:
    o = ask.options
    if o.state is not None:
        return jobs.Directions(ask.run, jobs.StateAt(o.state, ask.place()))
    if o.part is not None:
        return jobs.Directions(ask.run, jobs.PartWrite(o.part, ask.place()))
    return jobs.Directions(ask.run, jobs.SourceWrite(*ask.head, ask.place(), ask.place("source")))


def _refused_directions(o: object) -> str:
    state, part, source, head = (getattr(o, name) for name in ("state", "part", "source", "head"))
    if sum(value is not None for value in (state, part, source)) != 1:
        return "directions needs one of --part L1H3, --state L3.mid, or --head L1H3 with --source N"
    if (source is not None) != (head is not None):
        return "--head and --source go together: what the head moves from one position"
    return ""


def _exported_partners(ask: Asked) -> jobs.Partners:
    o = ask.options
    chosen = ask.filter if o.filter else jobs.TokenFilter(same=False)
    return jobs.Partners(ask.model.key, *ask.head, ask.token(o.side == "output"), o.side or "query", o.weights, o.basis,
    ask.offset, chosen, o.top or 20)  # fmt: skip


def _gives_directions(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Directions):
        return None
    match job.vector:
        case jobs.StateAt(state, position):
            return {"run": job.run, "state": state, "position": position}
        case jobs.PartWrite(part, position):
            return {"run": job.run, "part": part, "position": position}
        case jobs.SourceWrite(layer, head, destination, source):
            return {"run": job.run, "head": head_name(layer, head), "position": destination, "source": source}


def _gives_partners(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Partners):
        return None
    return {"head": head_name(job.layer, job.head), "token": (job.token,), "side": job.side, "basis": job.basis,
            "offset": job.offset or None, "filter": str(job.filter), "top": job.k,
            "weights": job.weights}  # fmt: skip


def _gives_nearest(job: jobs.Job) -> Given | None:
    return {"token": (job.token,), "where": job.where, "top": job.k} if isinstance(job, jobs.Nearest) else None


EXPORTS = (
    Export("directions", _exported_directions, ("position", "state", "part", "source"), head="optional",
           refuses=_refused_directions, gives=_gives_directions),
    Export("partners", _exported_partners, ("basis", "offset", "side", "top", "filter", "token"),
           {"side": get_args(jobs.PartnerSide)}, "weights", "needed",
           refuses=lambda o: "" if o.token is not None else "partners needs --token WORD, the token whose partners "
           "are wanted", gives=_gives_partners),
    Export("nearest", lambda ask: jobs.Nearest(ask.model.key, ask.token(ask.options.where == "unembedding"),
                                          ask.options.where, ask.options.top or 20),
           ("where", "top", "token"), reads="weights", ignores=("weights",),
           refuses=lambda o: "" if o.token is not None else "nearest needs --token WORD, the token whose nearest are "
           "wanted", gives=_gives_nearest),
)  # fmt: skip
