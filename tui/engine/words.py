"""What a result says of itself: quantity, formula, one line for the screen, and every convention in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..results import Header, ModelInfo, Scalar, head_name
from .jobs import OV, QK, Ablation, AddVector, Change, LayerPatterns, Pattern, QKDistance, Run

PATTERN = {
    "pattern": (
        "attention pattern",
        "softmax({})",
        "row = query, column = key: share of the query's attention",
    ),
    "scores": (
        "attention scores",
        "{}",
        "row = query, column = key: score before the softmax; only differences within a row matter",
    ),
    "value-weighted": (
        "value-weighted pattern",
        "‖pattern[i, j] · v_j W_O‖",
        "row = query, column = key: length of the vector that is moved",
    ),
}
"""Quantity, formula (around that of the scores) and explanation."""
SIDES = {"q": "query", "k": "key", "v": "value"}
ROTARY_LINE = "a rotary score depends on the distance between the two positions: this is one distance"


BEHIND_NORM = "behind the embedding's norm"


def convention(info: ModelInfo, run: Run | None = None, **options: Scalar) -> dict[str, Scalar]:
    """BOS and changes (where a prompt was run), dtype and device, and the options that are not None."""
    out: dict[str, Scalar] = {} if run is None else {"bos": run.bos}
    if run is not None and info.bidirectional:
        out["attention"] = "all ↔ all"
    out |= {name: value for name, value in options.items() if value is not None}
    if info.embedding_norm and options.get("basis") in ("embed", "normed", "effective"):
        out["W_E"] = BEHIND_NORM
    if run is not None and run.interventions:
        out["changed"] = "; ".join(_in_full(change, run) for change in run.interventions)
    return out | {"dtype": info.key.dtype, "device": info.key.device}


def _in_full(change: Change, run: Run) -> str:
    """A change with what its number depends on: over what a mean is, how long a direction."""
    if isinstance(change, Ablation) and change.reference is not None:
        how = "per position" if change.reference.all_of(len(run.ids)) else "over positions"
        return f"{change} ({how + ' of ' if change.how == 'mean' else ''}{change.reference.name})"
    if isinstance(change, AddVector):
        return f"{change} ({'of unit length, × the mean norm of the stream there' if change.unit else 'as given'})"
    return str(change)


def header(view: str, quantity: str, formula: str, **rest: Any) -> Header:
    """A Header from plain dictionaries."""
    return Header(view=view, quantity=quantity, formula=formula, **rest)


@dataclass(frozen=True)
class Path:
    """What stands between the projections and a score in one head."""

    normed: tuple[bool, bool] = (False, False)
    """Whether queries and keys are normalised."""
    rotated: bool = False
    cap: float | None = None


def scores_formula(path: Path, scaled: bool, query: str = "x", key: str = "x", at: tuple[str, str] = ("i", "j")) -> str:
    """``x_i W_QK x_jᵀ`` where the score is that form, else its factors; ``at``: where q and k are rotated to."""
    turned = tuple(place if path.rotated else "" for place in at)
    if not scaled and not any(path.normed) and not any(turned):
        return f"{query}_i W_QK {key}_jᵀ"
    sides = []
    for side, what, normed, place in zip("QK", (f"{query}_i", f"{key}_j"), path.normed, turned, strict=True):
        out = f"{what} W_{side}" + (f" + b_{side}" if scaled else "")
        out = f"norm({out})" if normed else out
        sides.append(f"R_{place}({out})" if place else out if normed else f"({out})")
    out = "·".join(sides)
    if not scaled:
        return out
    out += " / attn_scale"
    return out if path.cap is None else f"{path.cap:g}·tanh({out} / {path.cap:g})"


def pattern(
    job: Pattern | LayerPatterns,
    info: ModelInfo,
    path: Path,
    checks: Mapping[str, float],
    details: Mapping[str, Scalar],
) -> Header:
    kind = job.kind if isinstance(job, Pattern) else "pattern"
    quantity, formula, explanation = PATTERN[kind]
    return header(
        "scores" if kind == "scores" else "pattern",
        quantity if isinstance(job, Pattern) else "attention patterns of a layer",
        formula.format(scores_formula(path, scaled=True)),
        head=head_name(job.layer, job.head if isinstance(job, Pattern) else None),
        unit="probability" if kind == "pattern" else "",
        explanation=explanation if isinstance(job, Pattern) else "one picture a head: row = query, column = key",
        convention=convention(info, job.run, kind=kind, weights="raw" if kind == "value-weighted" else "any"),
        checks=checks,
        details=details,
    )


def qk_formula(job: QK | QKDistance, path: Path) -> str:
    """The formula of the form in force, with positions where a term reads them and the rotation by its offset."""
    term = job.term if isinstance(job, QK) else "token-token"
    query, key = ("p" if side == "position" else "x" for side in term.split("-"))
    at = ("distance", "") if isinstance(job, QKDistance) else (str(job.offset or ""), "")
    return scores_formula(path, job.form == "scaled", query, key, ("i", "j") if job.basis == "prompt" else at)


def normalised(formula: str, how: str, over: str) -> str:
    """The formula of a normalised view; ``over`` names its baseline."""
    return {
        "none": formula,
        "centered": f"{formula} − mean of its row over {over}",
        "zscore": f"({formula} − mean) / std of its row over {over}",
        "softmax": f"softmax of {formula} over {over}",
    }[how]


def over(job: QK | OV, other: str = "") -> str | None:
    """The baseline in words; None where nothing is normalised."""
    if job.normalize == "none":
        return None
    return "the shown cells" if job.baseline == "shown" else other or "the whole vocabulary"


def qk(
    job: QK, info: ModelInfo, path: Path, checks: Mapping[str, float], details: Mapping[str, Scalar], other: str
) -> Header:
    rotary, on_prompt = info.positions == "rotary", job.basis == "prompt"
    explanation = "row = query, column = key: how much the row wants the column, by the weights alone"
    if on_prompt:
        explanation = "row = query, column = key: how much this position wants that one, as the head reads this prompt"
    elif job.term != "token-token":
        explanation = "row = query {}, column = key {}: how much the row wants the column, by the weights alone".format(
            *job.term.split("-")
        )
    elif rotary:
        explanation += f"; {ROTARY_LINE}"
    baseline = over(job, other)
    return header(
        "qk",
        f"QK circuit, {job.form}" + ("" if job.normalize == "none" else f", {job.normalize}"),
        normalised(qk_formula(job, path), job.normalize, baseline or ""),
        head=head_name(job.layer, job.head),
        unit={"zscore": "σ", "softmax": "probability"}.get(job.normalize, ""),
        explanation=explanation,
        convention=convention(
            info,
            job.run if on_prompt else None,
            weights=job.weights,
            form=job.form,
            normalize=job.normalize,
            baseline=None if baseline is None else job.baseline,
            basis=job.basis,
            scale="attn_scale and biases in" if job.form == "scaled" else "attn_scale and biases left out",
            offset=job.offset if rotary and not on_prompt else None,
            positions="as in the prompt" if on_prompt else None,
            term=job.term if info.positions in ("learned", "shortformer") and not on_prompt else None,
        ),
        checks=checks,
        details=details,
    )


def ov(job: OV, info: ModelInfo, details: Mapping[str, Scalar]) -> Header:
    direct = job.head is None
    formula = ("x_i W_U" if job.basis != "embed" else "W_E W_U") if direct else "x_i W_V W_O W_U"
    says = f"the token itself says about {'its class' if info.classes else 'the next token'}"
    who = says if direct else "the head adds when it attends fully to the source"
    return header(
        "ov",
        ("direct path" if direct else "OV circuit") + ("" if job.normalize == "none" else f", {job.normalize}"),
        normalised(formula, job.normalize, over(job, "all classes" if info.classes else "") or ""),
        head=None if job.head is None else head_name(job.layer, job.head),
        unit={"zscore": "σ", "softmax": "probability"}.get(job.normalize, "logit"),
        explanation=f"row = source, column = output: what {who}",
        convention=convention(
            info,
            job.run if job.basis == "prompt" else None,
            weights=job.weights,
            normalize=job.normalize,
            baseline=None if job.normalize == "none" else job.baseline,
            basis=job.basis,
            outputs="all classes"
            if info.classes
            else "the whole vocabulary"
            if job.outputs is None
            else "shown tokens",
        ),
        details=details,
    )
