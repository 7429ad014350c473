"""A mixture of experts along a prompt: who is chosen, and what each one adds. Worker thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..circuits import experts as circuit
from ..circuits import residual
from ..circuits.errors import Refusal
from ..circuits.neurons import stream
from ..circuits.tensors import Trace
from ..results import Axis, Grid, head_name
from . import targets, words
from .bench import Context
from .grids import grid
from .jobs import Experts
from .opened import OpenModel, refuse_set

SUM = "max |Σ experts − MLP|"
QUANTITIES = {
    "router": ("router weights", "router_e(x)", "the share with which each expert's output counts; 0: not chosen"),
    "norm": ("what each expert writes", "‖router_e · expert_e‖", "length of what it adds to the stream"),
}


def experts(job: Experts, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    trace = bench.trace(job.run, None, ctx)
    here = _of(bench, job.layer)
    refuse_set(job.run, ("mlp_out",), job.layer, None, f"L{job.layer}'s experts are not what its MLP writes")
    x = stream(trace, job.layer)
    towards = None if job.measure != "answer" or job.target is None else targets.direction(bench, job.target)
    rows, total = [], torch.zeros_like(trace.embed)
    for write in here.writes(x):
        ctx.check()
        total = total + write
        if towards is None:
            rows.append(torch.linalg.vector_norm(write, dim=-1))
        else:
            rows.append(residual.attribution(bench.ends, write, trace.resid_pre[-1], towards))
    assert trace.mlp_out is not None
    values = here.routed(x).mT if job.measure == "router" else torch.stack(rows)
    if towards is None or job.target is None:
        quantity, formula, meaning = QUANTITIES[job.measure]
    else:
        quantity, formula = "direct logit attribution of experts", "frozen norm(router_e · expert_e) · direction"
        meaning = f"push toward {targets.toward(bench, job.target)} at the final norm's frozen scale"
    header = words.header(
        "experts",
        f"L{job.layer}: {quantity}",
        formula,
        unit="" if towards is None else "logit",
        head=head_name(job.layer),
        explanation=f"row = expert, column = position: {meaning}",
        convention=words.convention(
            bench.info,
            job.run,
            weights="any",
            measure=job.measure,
            **targets.convention(bench, None if towards is None else job.target),
        ),
        checks={SUM: float((total - trace.mlp_out[job.layer]).abs().max())},
        details={"experts": here.count},
    )
    names = Axis("expert", tuple(circuit.name(job.layer, expert) for expert in range(here.count)))
    return grid(header, values, names, bench.axis("position", job.run.ids), diverging=towards is not None)


def mlp_parts(
    bench: OpenModel, trace: Trace, positions: slice = slice(None)
) -> Callable[[int], Iterable[tuple[str, Tensor]] | None]:
    """A layer → name and write ``[p, d_model]`` of each of its experts; None where its MLP is one part."""
    if not bench.info.n_experts:
        raise Refusal(NO_EXPERTS, "Use --unit head or component.")

    def parts(layer: int) -> Iterable[tuple[str, Tensor]] | None:
        found = bench.live.experts(layer)
        if found is None:
            return None
        writes = found.writes(stream(trace, layer)[positions])
        return ((circuit.name(layer, expert), write) for expert, write in enumerate(writes))

    return parts


NO_EXPERTS = "The MLPs of this model are no mixtures of experts."


def _of(bench: OpenModel, layer: int) -> circuit.Experts:
    if not bench.info.n_experts:
        raise Refusal(NO_EXPERTS, "neurons shows what they are made of.")
    if not 0 <= layer < bench.info.n_layers:
        raise Refusal(f"Layer {layer} does not exist: {bench.info.name} has {bench.info.n_layers} layers.")
    found = bench.live.experts(layer)
    if found is None:
        raise Refusal(f"The MLP of L{layer} is no mixture of experts.", "Choose another layer.")
    return found
