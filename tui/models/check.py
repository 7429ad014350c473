"""Self-check at load: what is read off the model against what the model computes, on a few tokens.

Nothing about an architecture is taken from its config on trust (GPT-Neo's scale, GPT-J's pairs and partial rotary are
wrong there). Every identity that a view relies on is tried in every layer; a view whose identity fails is not offered,
and says why. An error is ``max|error| / max|value|``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..circuits.forward import Tape, with_sink
from ..circuits.tensors import Trace
from ..results import Capabilities
from .errors import ModelError, first_line
from .explain import sentence, with_what_works
from .sinks import sinks
from .trace import expand, used
from .weights import attention_scale, soft_cap

if TYPE_CHECKING:
    from .live import LiveModel

EXPERTS_SUM = "MLP = Σ router · expert"
PLAIN = "forward from plain tensors"
EXPERTS = "The MLPs of this model are not one layer of neurons each (mixtures of experts)."
NO_TOKENS = "This needs outputs that are the input tokens; this model's are {} classes of their own."
JOINT = "Queries and keys are normalised over all heads at once: one head has no QK circuit of its own."
N_TOKENS = 24
LIMITS = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""In float32 errors under 5e-5 are rounding; a misread convention gives 1e-2 and more."""


def token_sample(d_vocab: int, n_ctx: int, device: str | torch.device) -> Tensor:
    """``[n]`` ids spread over the vocabulary, always the same."""
    n = min(N_TOKENS, n_ctx)
    return torch.tensor([(17 + 7919 * i) % d_vocab for i in range(n)], dtype=torch.int64, device=device)


@dataclass(frozen=True, eq=False)
class Reference:
    """What transformers' own forward gives, before TransformerLens replaces parts of it."""

    logits: Tensor
    """``[n, d_vocab]``."""
    patterns: tuple[Tensor, ...]
    """A layer: ``[n_heads, n, n]``; empty where the architecture returns none."""

    @classmethod
    def of(cls, model: Any, ids: Tensor) -> Reference:
        with torch.inference_mode():
            out = model(ids[None], output_attentions=True, use_cache=False)
        patterns = tuple(p[0].float() for p in getattr(out, "attentions", None) or () if p is not None)
        return cls(out.logits[0].float(), patterns)


def error(got: Tensor, want: Tensor) -> float:
    """``max|got − want| / max|want|``; infinite where anything is not finite or the shapes differ."""
    if got.shape != want.shape or not bool(torch.isfinite(got).all() and torch.isfinite(want).all()):
        return float("inf")
    return float((got - want).abs().max() / want.abs().max().clamp_min(1e-30))


def self_check(
    live: LiveModel, reference: Reference | None, check: Callable[[], None]
) -> tuple[Capabilities, dict[str, float]]:
    """Which views this model can have, and the errors found. An identity that is None has nothing to speak of here."""
    cfg = live.bridge.cfg
    ids = token_sample(cfg.d_vocab, cfg.n_ctx, live.device)
    layers = range(live.n_layers)
    try:
        trace = live.trace(ids, layers, check)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as failure:
        raise ModelError(
            f"TransformerLens cannot run this model: {first_line(failure)}.", "Choose another."
        ) from failure
    limit = LIMITS.get(next(live.bridge.original_model.parameters()).dtype, 1e-4)
    checks: dict[str, float] = {}
    worst: dict[str, int] = {}
    if reference is not None:
        checks["logits = transformers' own"] = error(trace.logits, reference.logits)
        if len(reference.patterns) == live.n_layers and len(trace.patterns) == live.n_layers:
            pairs = zip(layers, reference.patterns, strict=True)
            apart = [error(trace.patterns[i], p) for i, p in pairs]
            checks["pattern = transformers' own"] = max(apart)
            worst["pattern = transformers' own"] = apart.index(max(apart))
    with torch.inference_mode():
        for name, function in _IDENTITIES.items():
            check()
            try:
                found = function(live, trace)
            except torch.OutOfMemoryError:
                raise
            except Exception:  # an architecture that is put together otherwise: its views stay off, the others work
                found = float("inf")
            if isinstance(found, list):
                if found:
                    worst[name] = found.index(max(found))
                found = max(found, default=None)
            if found is not None:
                checks[name] = found
    effect = _edit_effect(live, ids, trace, check)

    def failed(*starts: str) -> str:
        """The sentence for the first of these identities that does not hold."""
        for name, value in checks.items():
            if name.startswith(starts) and not value <= limit:
                return sentence(name, value, limit, worst.get(name))
        return ""

    found_here = _capabilities(live, trace, checks, effect, failed)
    return with_what_works(found_here, trace.mlp_out is not None), checks


def rebuilt_pattern(live: LiveModel, trace: Trace, layer: int) -> Tensor:
    """``softmax(cap(q kᵀ / scale) + mask)`` from the trace's queries and keys, ``[n_heads, n, n]``."""
    attn = live.bridge.blocks[layer].attn
    scores = torch.einsum("qhd,khd->hqk", trace.queries[layer], trace.keys[layer]) / attention_scale(attn)
    cap = soft_cap(attn)
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    if layer in trace.score_bias:
        scores = scores + trace.score_bias[layer]
    held = sinks(attn)
    return with_sink(
        scores.masked_fill(~trace.visible[layer], -torch.inf), None if held is None else held[:, None, None]
    )


def _pattern(live: LiveModel, trace: Trace) -> Errors:
    if len(trace.patterns) < live.n_layers or len(trace.queries) < live.n_layers:
        return float("inf")
    return [error(rebuilt_pattern(live, trace, layer), p) for layer, p in sorted(trace.patterns.items())]


def _values(live: LiveModel, trace: Trace) -> Errors:
    if len(trace.patterns) < live.n_layers or len(trace.values) < live.n_layers:
        return float("inf")
    z = (torch.einsum("hqk,khd->qhd", trace.patterns[i], trace.values[i]) for i in range(live.n_layers))
    return [error(own, trace.z[layer]) for layer, own in enumerate(z)]


def _reading(sides: str) -> Callable[[LiveModel, Trace], Errors]:
    def reading(live: LiveModel, trace: Trace) -> Errors:
        """The heads' q, k, v from the stream, the norm and the weights."""
        cfg, apart = live.bridge.cfg, [0.0] * live.n_layers
        for layer in range(live.n_layers):
            if layer not in trace.queries:
                return float("inf")
            heads = [live.head(layer, h) for h in range(cfg.n_heads)]
            x = heads[0].norm(trace.resid_pre[layer])
            for side in sides:
                own = torch.stack([x @ getattr(w, f"W_{side}") + getattr(w, f"b_{side}") for w in heads], dim=1)
                if side != "V" and heads[0].q_positions is not None:
                    added = [w.q_positions if side == "Q" else w.k_positions for w in heads]
                    own = own + torch.stack([one[: len(x)] for one in added if one is not None], dim=1)
                if side != "V":
                    own = used(live.bridge.blocks[layer].attn, own, f"{side.lower()}_norm", heads[0].rotate)
                want = {"Q": trace.queries, "K": trace.keys, "V": trace.values}[side][layer]
                apart[layer] = max(apart[layer], error(expand(own, cfg.n_heads), want))
        return apart

    return reading


def _writing(live: LiveModel, trace: Trace) -> Errors:
    apart = []
    for layer in range(live.n_layers):
        W_O = torch.stack([live.head(layer, h).W_O for h in range(live.bridge.cfg.n_heads)])
        total = torch.einsum("nhd,hdm->nm", trace.z[layer], W_O)
        if trace.attn_post_scale is not None:
            total = total * trace.attn_post_scale[layer]
        apart.append(error(total + trace.b_O[layer], trace.attn_out[layer]))
    return apart


def _stream(live: LiveModel, trace: Trace) -> Errors:
    total = trace.embed + (0.0 if trace.pos is None else trace.pos)
    apart = [error(total, trace.resid_pre[0])]
    for layer in range(live.n_layers):
        total = total + trace.attn_out[layer]
        if trace.mlp_out is not None:
            total = total + trace.mlp_out[layer]
        apart.append(error(total, trace.resid_pre[layer + 1]))
    return [max(apart[:2]), *apart[2:]]


def _embedding(live: LiveModel, trace: Trace) -> float:
    ends = live.ends
    x = ends.W_E[trace.ids]
    if ends.W_pos is not None:
        x = x + ends.W_pos[: len(trace.ids)]
    return error(x, trace.resid_pre[0])


def _logits(live: LiveModel, trace: Trace) -> float:
    ends = live.ends
    logits = ends.final_norm(trace.resid_pre[-1]) @ ends.W_U
    if ends.b_U is not None:
        logits = logits + ends.b_U
    if ends.logit_cap is not None:
        logits = ends.logit_cap * torch.tanh(logits / ends.logit_cap)
    return error(logits, trace.logits)


def _first_mlp(live: LiveModel, trace: Trace) -> float | None:
    if trace.mlp_out is None:
        return None
    mlp = live.ends.layer0_mlp
    if mlp is None:
        return float("inf")
    return error(mlp(trace.resid_pre[0] if trace.resid_mid is None else trace.resid_mid[0]), trace.mlp_out[0])


def _middle(live: LiveModel, trace: Trace) -> Errors:
    if trace.resid_mid is None:
        return None
    return [error(trace.resid_pre[i] + trace.attn_out[i], mid) for i, mid in enumerate(trace.resid_mid)]


def _neurons(live: LiveModel, trace: Trace) -> Errors:
    """Every layer's MLP recomputed from the stream and summed over its neurons, through the norm that follows it."""
    apart: list[float] = []
    sizes = set()
    for layer, want in enumerate(() if trace.mlp_out is None else trace.mlp_out):
        mlp = live.mlp(layer)
        if mlp is None:
            return None
        sizes.add(len(mlp.W_out))
        acts = mlp.activations((trace.resid_pre if trace.resid_mid is None else trace.resid_mid)[layer])
        apart.append(error(mlp.post_norm(acts @ mlp.W_out + mlp.b_out), want))
    return apart if len(sizes) <= 1 else float("inf")


def _experts(live: LiveModel, trace: Trace) -> Errors:
    """Mixtures of experts: what all of them write is what the MLP does."""
    apart, mixed = [], False
    for layer, want in enumerate(() if trace.mlp_out is None else trace.mlp_out):
        experts = live.experts(layer)
        if experts is None:
            apart.append(0.0)
        else:
            mixed = True
            x = (trace.resid_pre if trace.resid_mid is None else trace.resid_mid)[layer]
            total = torch.stack(list(experts.writes(x))).sum(0)
            apart.append(error(total, want))
    return apart if mixed else None


def _plain(live: LiveModel, trace: Trace) -> float:
    """Logits and patterns of the forward pass that interventions run on."""
    tape, reach = Tape(), [trace.visible[layer] for layer in range(live.n_layers)]
    forward = live.forward
    final = forward.run(forward.embed(trace.ids[None]), reach, keep=tape, patterns=range(live.n_layers))
    apart = [error(forward.logits(final[0]), trace.logits)]
    return max(apart + [error(tape.pattern[layer], own) for layer, own in trace.patterns.items()])


Errors = list[float] | float | None
"""A layer each, or of the whole model; None and nothing in the list: nothing to speak of here."""
_IDENTITIES: dict[str, Callable[[Any, Trace], Errors]] = {
    "pattern = softmax(q·k / scale + mask)": _pattern,
    "z = pattern · v": _values,
    "q, k = norm(stream) W + b": _reading("QK"),
    "v = norm(stream) W_V + b_V": _reading("V"),
    "attention = Σ z W_O + b_O": _writing,
    "stream = Σ components": _stream,
    "embedding = W_E (+ W_pos)": _embedding,
    "logits = norm(stream) W_U + b_U": _logits,
    "MLP 0": _first_mlp,
    "state between = stream + attention": _middle,
    "MLP = Σ act W_out + b_out": _neurons,
    EXPERTS_SUM: _experts,
    PLAIN: _plain,
}


def _edit_effect(live: LiveModel, ids: Tensor, trace: Trace, check: Callable[[], None]) -> float:
    """By how much the logits change when the first layer's pattern is emptied: 0 where the edit is ignored."""
    name = "blocks.0.attn.hook_pattern"
    if 0 not in trace.patterns:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where TransformerLens itself knows that the edit is lost, it warns
        changed = live.trace(ids, (), check, [(name, torch.zeros_like)])
    return error(changed.logits, trace.logits)


def _capabilities(
    live: LiveModel, trace: Trace, checks: dict[str, float], effect: float, failed: Callable[..., str]
) -> Capabilities:
    run = failed("logits = transformers", "pattern = transformers")
    shown = run or ("" if trace.patterns else "This architecture does not show its attention pattern.")
    scores = shown or failed("pattern = softmax")
    # The scale of a scaled QK value is known to be right only where the rebuilt pattern is.
    qk = scores or failed("embedding", "q, k") or joint_norm(live)
    ov = run or failed("embedding", "v =", "z =", "attention", "logits = norm")
    learned = live.ends.W_pos is not None or live.head(0, 0).q_positions is not None
    rotary = any(live.rotation(layer) is not None for layer in range(live.n_layers))
    no_mlp = "This model has no MLPs." if live.ends.layer0_mlp is None else ""
    if trace.mlp_out is None:
        no_mid = "This model has no MLPs, so there is no state between attention and MLP."
    elif trace.resid_mid is None:
        no_mid = "This model's blocks run attention and MLP in parallel: there is no state between them."
    else:
        no_mid = failed("state between")
    experts = "" if any(name.startswith("MLP = Σ act") for name in checks) else EXPERTS
    return Capabilities(
        pattern=shown,
        scores=scores,
        qk=qk,
        ov=ov,
        residual=run or failed("stream", "attention", "logits = norm"),
        position_terms=qk or ("" if learned else "Only models with learned positions have position terms."),
        offset=qk or ("" if rotary else "Only models with rotary positions have an offset."),
        effective=no_mlp or qk or failed("MLP 0"),
        states_mid=run or no_mid,
        neurons=no_mlp or run or experts or failed("MLP = Σ act"),
        plain=run or failed(PLAIN),
        pattern_edit=shown or ("" if effect > 0 else "This architecture ignores an edited pattern."),
        one_vocabulary="" if live.outputs is live.tokens else NO_TOKENS.format(live.outputs.d_vocab),
    )


def count_experts(live: LiveModel, checks: Mapping[str, float]) -> int:
    """Experts a layer, where their sum is what the MLPs write; 0 without."""
    dtype = next(live.bridge.original_model.parameters()).dtype
    if not checks.get(EXPERTS_SUM, float("inf")) <= LIMITS.get(dtype, 1e-4):
        return 0
    return max((found.count for layer in range(live.n_layers) if (found := live.experts(layer))), default=0)


def joint_norm(live: LiveModel) -> str:
    """OLMo 2 normalises the queries of all heads at once: what one head reads depends on the others."""
    return JOINT if live.joins_heads() else ""
