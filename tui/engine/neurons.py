"""An MLP's neurons along a prompt, and what each one writes. Worker thread only."""

from __future__ import annotations

from ..circuits import neurons as circuit
from ..circuits.attribution import directions
from ..circuits.errors import Refusal
from ..circuits.ov import ranked
from ..results import Axis, Grid, Table, head_name
from . import targets, words
from .bench import Context
from .grids import grid, ranked_table, write_details
from .jobs import Neurons, NeuronTokens
from .opened import OpenModel, place, refuse_set

MLP_SUM = "max |Σ act W_out + b_out − MLP|"


def neurons(job: Neurons, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    mlp, at = bench.mlp(job.layer), place(job.run, job.position)
    _exists(job.layer, job.neuron, len(mlp.W_out))
    refuse_set(job.run, ("act", "mlp_out"), job.layer, None, f"L{job.layer}'s neurons are not what its MLP writes")
    trace = bench.trace(job.run, None, ctx)
    acts = mlp.activations(circuit.stream(trace, job.layer))
    ctx.check()
    if job.target is None:
        order = circuit.largest(circuit.lengths(mlp, acts[at]), job.k)
        ranking = f"the neurons that write most at position {at}"
    else:
        g = directions(bench.ends, trace.resid_pre[-1, at], targets.direction(bench, job.target))
        order = circuit.largest(circuit.effects(mlp, acts[at], g).neurons, job.k)
        ranking = f"the neurons that matter most at position {at} for {targets.toward(bench, job.target)}"
    if job.neuron is not None and job.neuron not in order:
        order.insert(0, job.neuron)
    assert trace.mlp_out is not None
    header = words.header(
        "neurons",
        f"activations of L{job.layer}'s neurons",
        "act_n, what goes into the down projection",
        head=head_name(job.layer),
        explanation=f"row = neuron, column = position: its activation; {ranking}",
        convention=words.convention(
            bench.info, job.run, weights="any", position=at, **targets.convention(bench, job.target)
        ),
        checks={MLP_SUM: float((circuit.output(mlp, acts[at]) - trace.mlp_out[job.layer, at]).abs().max())},
        details={"d_mlp": len(mlp.W_out)},
    )
    rows = Axis("neuron", tuple(f"L{job.layer}N{n}" for n in order))
    return grid(header, acts[:, order].mT, rows, bench.axis("position", job.run.ids))


def neuron_tokens(job: NeuronTokens, bench: OpenModel, ctx: Context) -> Table:
    mlp, processed = bench.mlp(job.layer), job.weights == "processed"
    _exists(job.layer, job.neuron, len(mlp.W_out))
    y = circuit.direction(mlp, job.neuron, bench.ends.final_norm, processed)
    row = ranked(bench.unembedding(job.weights), y, job.k)
    normed = "" if mlp.post_norm.kind == "none" else "neuron"
    header = words.header(
        "neurons",
        f"what L{job.layer}N{job.neuron} promotes and suppresses",
        "W_out[n] W_U",
        unit="logit",
        head=head_name(job.layer),
        explanation="what one unit of the neuron's activation adds to each logit, before the final norm's scale",
        convention=words.convention(bench.info, weights=job.weights),
        details=write_details(normed, "W_out", processed, bench),
    )
    return ranked_table(header, row, bench)


def _exists(layer: int, neuron: int | None, d_mlp: int) -> None:
    if neuron is not None and not 0 <= neuron < d_mlp:
        at = head_name(layer)
        raise Refusal(f"{at}N{neuron} does not exist: the neurons of {at} are {at}N0 to {at}N{d_mlp - 1}.")
