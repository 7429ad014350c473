"""What all code begins with: the model, its tokens, and what several views are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent

from ..engine import jobs
from ..results import head_name
from ..selection import Selection
from ..text import visible

LONGEST = 100
"""Characters of a comment."""
_PATH = re.compile(r"[/~.]")

Ids = tuple[int, ...]


@dataclass(frozen=True)
class No:
    """Why there is no code."""

    why: str


@dataclass(frozen=True)
class Code:
    """The code of a view."""

    says: str
    """What ``result`` is: one line."""
    body: str
    """Leaves ``result``."""
    tokens: tuple[tuple[str, Ids], ...] = ()
    """Name of a variable → the token ids that it holds."""
    processed: bool = True
    """Whether weights are processed: norms folded, writing weights and ``W_U`` centred."""


TURNED = " * turned"
"""Behind a product of queries and keys that are not rotated: what their rotation would scale them by even so."""
_TURNED = """
scales = (getattr(module, "attention_scaling", None) for module in model.original_model.modules())
turned = next(filter(None, scales), 1.0) ** 2  # YaRN and longrope scale what they rotate; 1 for all others"""


def code(s: Selection, made: Code, changes: str = "") -> str:
    """The whole of it. ``changes``: code that changes the model before anything runs."""
    lines = [f"# {made.says}", *_opening(s, made.processed), *([changes] if changes else [])]
    lines += [f"{name} = torch.tensor([{list(ids)}], device=model.cfg.device)  # {_words(s, ids)}"
              for name, ids in made.tokens]  # fmt: skip
    body = dedent(made.body).strip("\n")
    if TURNED in body:
        assert s.model is not None
        turns = s.model.positions == "rotary"
        lines += [_TURNED] if turns else []
        body = body if turns else body.replace(TURNED, "")
    return "\n".join([*lines, "", body, "print(result)", ""])


def _opening(s: Selection, processed: bool) -> list[str]:
    """The model as it is open here."""
    assert s.model is not None
    key, source = s.model.key, s.open.source
    name, _, revision = source.partition("@")
    local = source == "demo" or _PATH.match(source) or key.folder.rstrip("/").endswith(source.rstrip("/"))
    if local:
        name, revision = key.folder, ""
    more = f", revision={revision!r}" if revision else ""
    how = (
        "disable_warnings=True, fold_value_biases=False)  # norms folded, writing weights and W_U centred"
        if processed else "disable_warnings=True, no_processing=True)  # weights as they are stored"
    )  # fmt: skip
    return [
        "import torch",
        "from transformer_lens.model_bridge import TransformerBridge",
        "",
        "torch.set_grad_enabled(False)",
        f"model = TransformerBridge.boot_transformers({name!r}, device={key.device!r}, dtype=torch.{key.dtype}{more})",
        f"model.enable_compatibility_mode({how}",
    ]


def _words(s: Selection, ids: Ids) -> str:
    """The tokens in a comment, where they are known."""
    for tokens in (s.tokens, s.pair.tokens if s.pair is not None else None):
        if tokens is not None and tokens.ids == ids:
            text = "".join(visible(word, special) for word, special in zip(tokens.texts, tokens.special, strict=True))
            return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return f"{len(ids)} tokens"


NORM = {
    True: """
def norm(x):  # mean and scale; w and b are in the weights
    x = x - x.mean(-1, keepdim=True) if model.cfg.normalization_type.startswith("LN") else x
    return x / (x.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
""",
    False: """
def norm(x):
    return model.blocks[{layer}].ln1(x[None])[0]
""",
}
"""The norm that a layer's attention reads through, by whether weights are processed."""


def head(job: jobs.QK | jobs.Pattern | jobs.TopPairs | jobs.Spectrum | jobs.Sources | jobs.ScoreParts) -> str:
    """``L1H3``."""
    return head_name(job.layer, job.head)


def weights(layer: int, number: int, names: Sequence[str] = ("W_Q", "W_K")) -> str:
    """``W_Q, W_K = …`` of a head in float32; grouped keys and values by the group that it is of."""
    at = {name: f"model.{name}" if name[0] == "W" else none_is_zero(name) for name in names}
    shared = [name for name in names if name[-1] in "KV"]
    group = f"group = {number} // (model.cfg.n_heads // model.W_K.shape[1])\n" if shared else ""
    values = (f"{at[name]}[{layer}, {'group' if name in shared else number}].float()" for name in names)
    return f"{group}{', '.join(names)} = {', '.join(values)}"


def none_is_zero(name: str) -> str:
    """A bias of all layers, which a model may not have: TransformerLens has no attribute then."""
    zeros = {"b_O": "torch.zeros(model.cfg.n_layers, model.cfg.d_model)", "b_U": "torch.zeros_like(model.W_U[0])",
             "b_out": "torch.zeros_like(model.W_out[:, 0])"}  # fmt: skip
    return f'getattr(model, "{name}", {zeros.get(name, f"torch.zeros_like(model.W_{name[-1]}[:, :, 0])")})'


def direction(target: jobs.Target, of: str = "model.W_U.float()") -> str:
    """The direction of the stream that a target is: of its answers' mean less that of its distractors, or of all."""
    other = f"W_U[:, {list(target.distractors)}].mean(-1)" if target.distractors else "W_U.mean(-1)"
    return f"W_U = {of}\ndirection = W_U[:, {list(target.answers)}].mean(-1) - {other}"


def scored(target: jobs.Target) -> str:
    """The logit difference of a target as an expression of ``logits [.., d_vocab]``."""
    other = f"logits[..., {list(target.distractors)}].mean(-1)" if target.distractors else "logits.mean(-1)"
    return f"logits[..., {list(target.answers)}].mean(-1) - {other}"


def attn_scale(layer: int, number: int) -> str:
    """What the model divides scores by, read off its own run: ``cfg.attn_scale`` is not set for every model."""
    return f"""_, cache = model.run_with_cache(tokens)
group = {number} // (model.cfg.n_heads // model.W_K.shape[1])
dots = (cache["blocks.{layer}.attn.hook_q"][0, :, {number}] * cache["blocks.{layer}.attn.hook_k"][0, :, group]).sum(-1)
divided = cache["blocks.{layer}.attn.hook_attn_scores"][0, {number}].diagonal()
attn_scale = (dots @ divided) / (divided @ divided)
"""
