"""A failed self-check in words: which identity, in which layer, what is likely behind it, and what still works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..results import Capabilities

CAUSES: Mapping[str, str] = {
    "logits = transformers": "TransformerLens runs this architecture otherwise than transformers does",
    "pattern = transformers": "TransformerLens computes attention otherwise than transformers does",
    "pattern = softmax": "attention scales, caps or shifts its scores in a way that is not known here",
    "z = pattern": "attention changes its values on their way, or does not use the pattern that it shows",
    "q, k =": "queries or keys are clipped, normalised or scaled after their projection",
    "v =": "values are clipped, normalised or scaled after their projection",
    "attention =": "something stands between the heads and the stream, such as a norm or a gate",
    "stream =": "the blocks add up otherwise, or a norm stands in the stream itself",
    "embedding =": "the embedding is scaled, normalised or projected on its way into the stream",
    "logits = norm": "the unembedding is scaled or projected",
    "MLP 0": "the MLP reads or writes through something that is not known here",
    "state between": "the blocks run attention and MLP otherwise",
    "MLP = Σ act": "the MLP reads or writes through something that is not known here",
    "MLP = Σ router": "there is an expert that every token passes, or a norm after the experts",
    "forward from": "a block does something that plain tensors do not: interventions run on the model's own forward",
}
"""How an identity's name begins → what is likely behind its failure."""
_RESTING: tuple[tuple[Callable[[Capabilities], str], str], ...] = (
    (lambda found: found.pattern, "patterns"),
    (lambda found: found.scores, "scores"),
    (lambda found: found.qk, "QK circuits"),
    (lambda found: found.ov, "OV circuits"),
    (lambda found: found.residual, "residual sums, lens and attribution"),
    (lambda found: found.neurons, "the MLP's neurons"),
)
"""A reason, and what is still right where there is none."""
MARK = "does not hold"


def sentence(name: str, value: float, limit: float, layer: int | None) -> str:
    """``On this model “z = pattern · v” does not hold in L3 (error 1.0e+00, limit 1e-04): …``"""
    where = "" if layer is None else f" in L{layer}"
    cause = next((text for start, text in CAUSES.items() if name.startswith(start)), "")
    said = f"On this model “{name}” {MARK}{where} (error {value:.1e}, limit {limit:.0e})"
    return f"{said}: likely {cause}." if cause else f"{said}."


def with_what_works(found: Capabilities, mlps: bool) -> Capabilities:
    """The same reasons; each that tells of a failed identity also says which views still work."""
    on = [words for reason, words in (_RESTING if mlps else _RESTING[:-1]) if not reason(found)]
    rest = f" Still right: {', '.join(on)}." if on else " No view of this model is right; choose another model."
    reasons = {name: reason for name, reason in vars(found).items() if MARK in reason}
    return replace(found, **{name: reason + rest for name, reason in reasons.items()})
