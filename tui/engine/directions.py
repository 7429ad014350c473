"""What vectors of the stream promote and suppress: a state, a component's write, what a head moves. Worker only."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..circuits import fold, ov, residual
from ..circuits import lens as circuit
from ..circuits.errors import Refusal
from ..circuits.tensors import Trace
from ..results import Header, Scalar, Table, head_name
from . import words
from .bench import Context
from .grids import ranked_table
from .jobs import Directions, PartWrite, SourceWrite, StateAt
from .lenses import lens_convention, lens_logits, through
from .opened import OpenModel, place
from .states import state_at

CAPPED = "logits are soft-capped: these are before the cap"


def directions(job: Directions, bench: OpenModel, ctx: Context) -> Table:
    bench.need("residual")
    match job.vector:
        case StateAt():
            row, header = _state_directions(job, job.vector, bench, ctx)
        case PartWrite():
            row, header = _part_directions(job, job.vector, bench, ctx)
        case SourceWrite():
            row, header = _source_directions(job, job.vector, bench, ctx)
    return ranked_table(header, ov.ranked_row(row, job.k), bench)


def _state_directions(job: Directions, vector: StateAt, bench: OpenModel, ctx: Context) -> tuple[Tensor, Header]:
    x, _, at = state_at(bench, job.run, vector.state, vector.position, ctx)
    row = fold.centred(circuit.uncapped(bench.ends, bench.unembedding("raw"), x[None])[0])
    header = _header(
        job,
        bench,
        f"lens logits of {vector.state} at position {at}",
        lens_logits(bench),
        "what the model would say if it stopped at this state: each token's logit against the mean logit",
        state=vector.state,
        position=at,
    )
    return row, header


def _part_directions(job: Directions, vector: PartWrite, bench: OpenModel, ctx: Context) -> tuple[Tensor, Header]:
    trace, at = bench.trace(job.run, None, ctx), place(job.run, vector.position)
    header = _header(
        job,
        bench,
        f"direct effect of {vector.part} at position {at}",
        f"{through(bench, 'frozen norm', 'part')} W_U",
        "what this write adds to each token's logit, against the mean over the vocabulary",
        head=vector.part if "H" in vector.part else None,
        part=vector.part,
        position=at,
    )
    return _effects(bench, trace, _write(bench, trace, vector.part, at), vector.part, at), header


def _source_directions(job: Directions, vector: SourceWrite, bench: OpenModel, ctx: Context) -> tuple[Tensor, Header]:
    bench.need("pattern")
    bench.need("ov")
    name, head = head_name(vector.layer, vector.head), bench.head(vector.layer, vector.head, "raw")
    source, at = place(job.run, vector.source), place(job.run, vector.destination)
    trace = bench.trace(job.run, vector.layer, ctx)
    write = circuit.source_write(head, trace, at, source)
    header = _header(
        job,
        bench,
        f"direct effect of {name} from position {source} at position {at}",
        f"{through(bench, 'frozen norm', 'pattern[i, j] · v_j W_O')} W_U",
        "what the head moves from this source adds to each token's logit, against the mean over the vocabulary",
        head=name,
        source=source,
        position=at,
    )
    return _effects(bench, trace, write, f"{name} from position {source}", at), header


def _effects(bench: OpenModel, trace: Trace, write: Tensor, name: str, at: int) -> Tensor:
    if not write.any():
        raise Refusal(f"{name} writes nothing at position {at}: there is no direction to read.", "Choose another cell.")
    return circuit.effects(bench.ends, bench.unembedding("raw"), write, trace.resid_pre[-1][at])


def _write(bench: OpenModel, trace: Trace, part: str, at: int) -> Tensor:
    """``[d_model]``: what a component, named as in ``residual.components``, writes at a position."""

    def writers(layer: int) -> Sequence[Tensor]:
        return bench.writers(layer) if part.startswith(f"L{layer}H") else ()

    whole = part.endswith(".attn")  # a layer's attention in one, else its heads and bias
    for name, write in residual.components(trace, None if whole else writers, positions=slice(at, at + 1)):
        if name == part:
            return write[0]
    raise Refusal(
        f"No part of the stream is called {part}.", "Parts are heads (L1H0), L1.attn, L1.bias, L1.mlp, embed and pos."
    )


def _header(
    job: Directions, bench: OpenModel, quantity: str, formula: str, explanation: str, head: str | None = None,
    **options: Scalar,
) -> Header:  # fmt: skip
    convention = lens_convention(bench, job.run, **options)
    if "norm" in convention and not isinstance(job.vector, StateAt):
        convention["norm"] = "frozen at the position"
    return words.header(
        "directions",
        quantity,
        bench.of_outputs(f"{formula} − mean over the vocabulary"),
        unit="logit",
        head=head,
        explanation=bench.of_outputs(explanation),
        convention=convention,
        details={"note": CAPPED} if bench.ends.logit_cap else {},
    )
