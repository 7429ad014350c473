"""Singular values of a head's circuits, and the tokens of its singular directions. Worker thread only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..circuits import ov as ov_circuit
from ..circuits import spectrum as spectral
from ..circuits.basis import read, vocabulary, written
from ..circuits.errors import Refusal
from ..circuits.exact import Factors
from ..circuits.tensors import HeadWeights
from ..results import Curve, Header, Scalar, Table, frozen, head_name
from . import words
from .bench import Context
from .grids import ov_details
from .jobs import SingularTokens, Spectrum
from .jobs.parts import Rank
from .opened import OpenModel

NORM = "|√Σ σ² − ‖W‖|"


def no_form(head: HeadWeights, what: str) -> None:
    """Refuse what needs ``x W_QK y`` of a head whose queries or keys are normalised on the way."""
    if head.q_norm is not None or head.k_norm is not None:
        raise Refusal(
            f"{what} through a query/key norm is no bilinear form: W_Q W_Kᵀ is not what this model's attention uses.",
            "Look at OV or V instead; the QK view has these heads exactly.",
        )


def spectrum(job: Spectrum, bench: OpenModel, ctx: Context) -> Curve:
    found, norm = _decomposed(job, bench)
    name = f"W_{job.circuit.upper()}"
    values = found.S.numpy()
    rank = Rank(job.model, job.layer, job.head, job.weights, job.circuit.upper())
    size, energy = bench.info.d_model, found.S.square()
    details: dict[str, Scalar] = {name: f"[{size}, {size}], rank {ctx.get(rank)}"}
    if (whole := float(energy.sum())) > 0:
        details["share of ‖W‖² in the first value"] = round(float(energy[0]) / whole, 4)
    header = _header(
        job,
        bench,
        f"singular values of {name}",
        f"{name} = Σ σ_k u_k v_kᵀ",
        "how strongly the head's circuit uses each of its directions; SVD tokens read one out",
        details,
        {NORM: abs(float(energy.sum().sqrt()) - norm)},
    )
    return Curve(header, "index", "singular value", frozen(np.arange(len(values))), {name: frozen(values)})


def singular_tokens(job: SingularTokens, bench: OpenModel, ctx: Context) -> Table:
    if job.k < 1:
        raise Refusal("A list of tokens has one or more.", "Ask for 10.")
    found, _ = _decomposed(job, bench)
    if not 0 <= job.index < len(found.S):
        raise Refusal(
            f"There is no singular direction {job.index}: this head's are 0 to {len(found.S) - 1}.",
            "Choose one of them.",
        )
    if not found.S[job.index] > 0:
        raise Refusal(f"Singular value {job.index} is 0: the circuit has no such direction.", "Choose a smaller index.")
    device = bench.ends.W_E.device
    u, v = (side[:, job.index].float().to(device) for side in (found.U, found.V))
    left = _embedded(job, bench, u, ctx)
    sign = spectral.sign(left)
    u, v, left = sign * u, sign * v, sign * left
    sides = [(left, _read(job, bench, u))]
    if job.circuit == "qk":
        sides.append((_embedded(job, bench, v, ctx), _read(job, bench, v)))
    else:
        unembed = bench.unembedding(job.weights)
        sides.append((unembed.logits(v[None])[0], ov_circuit.factors(unembed, v)))
    names = ("query", "key") if job.circuit == "qk" else ("source", "output")
    rows: list[tuple[Scalar, ...]] = []
    for name, (values, made) in zip(names, sides, strict=True):
        ranked = ov_circuit.ranked_row(values, job.k, made)
        ids = ranked.promoted.tolist()
        picked = ranked.values[ranked.promoted]
        ranks = ranked.ranks(picked).tolist()
        texts = bench.output_texts(ids) if name == "output" else bench.texts(ids)
        rows += zip([name] * len(ids), ranks, texts, ids, picked.tolist(), strict=True)
    formula = "x·u and x·v" if job.circuit == "qk" else "x·u and v·W_U"
    sigma, share = float(found.S[job.index]), float(found.S[job.index].square() / found.S.square().sum())
    header = _header(
        job,
        bench,
        f"tokens of singular direction {job.index} of W_{job.circuit.upper()}",
        formula,
        f"the circuit takes the {names[0]} side to the {names[1]} side: a cell gets σ × {names[0]} value × "
        f"{names[1]} value from this pair of directions; both signs may be turned together",
        {"σ": sigma, "share of ‖W‖²": round(share, 4)},
        {},
        index=job.index,
    )
    return Table(header, ("side", "rank", "token", "id", "value"), tuple(rows), bar="value")


def _decomposed(job: Spectrum | SingularTokens, bench: OpenModel) -> tuple[spectral.Spectrum, float]:
    """The head's singular values and directions, and the norm of its circuit."""
    bench.need(job.circuit)
    head = bench.head(job.layer, job.head, job.weights)
    if job.circuit == "qk":
        no_form(head, "The spectrum of W_QK")
    left, right = spectral.factors(head, job.circuit)
    return spectral.spectrum(left, right), spectral.frobenius(left, right)


def _embedded(job: SingularTokens, bench: OpenModel, direction: Tensor, ctx: Context) -> Tensor:
    """``x·direction [d_vocab]`` of every token in basis embed."""
    norm = bench.live.head(job.layer, job.head).norm
    blocks = vocabulary(bench.ends, "embed", norm, job.weights == "processed", ctx.check)
    return torch.cat([block @ direction for block in blocks])


def _read(job: SingularTokens, bench: OpenModel, direction: Tensor) -> Factors:
    """What ``_embedded`` is made from."""
    ends, norm = bench.ends, bench.live.head(job.layer, job.head).norm

    def rows(ids: Tensor) -> Tensor:
        return read(written(ends, "embed", ids.to(ends.W_E.device)), "embed", norm, job.weights == "processed")

    return Factors(rows, direction)


def _header(
    job: Spectrum | SingularTokens,
    bench: OpenModel,
    quantity: str,
    formula: str,
    explanation: str,
    details: dict[str, Scalar],
    checks: dict[str, float],
    **options: Scalar,
) -> Header:
    of_qk = job.circuit == "qk"
    if not of_qk:
        details = details | ov_details(bench.live.head(job.layer, job.head), job.weights, bench)
    return words.header(
        "svd",
        quantity,
        formula,
        head=head_name(job.layer, job.head),
        explanation=explanation,
        convention=words.convention(
            bench.info,
            None,
            weights=job.weights,
            circuit=job.circuit,
            **options,
            basis="embed" if isinstance(job, SingularTokens) else None,
            offset=0 if of_qk and bench.info.positions == "rotary" else None,
        ),
        checks=checks,
        details=details,
    )
