"""One forward pass with hooks: float32 copies of only what views show. Prompts of one length share a pass, unpadded.

Hooks live exactly as long as the pass. ``check`` runs in the hooks at both ends of every block and inside attention,
so a cancel takes effect within a fraction of a block; whatever is raised, no hook is left (the bridge's own context
removes them) and the model is as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..circuits.tensors import Norm, Trace
from .alibi import score_bias
from .errors import ModelError
from .placed import here, home
from .rotary import Rotate, is_native
from .sinks import clip
from .weights import output_bias, plain, read_norm

Hook = tuple[str, Callable[[Tensor], Tensor]]
"""An intervention: name of a hook point and what its tensor becomes."""


def checked_ids(ids: Sequence[int] | Tensor, d_vocab: int, n_ctx: int) -> Tensor:
    """``[n]`` int64. Raises before the model sees ids that it cannot take: late errors are cryptic, on CUDA fatal."""
    values = torch.as_tensor(ids, dtype=torch.int64).reshape(-1)
    if not values.numel():
        raise ModelError("There is nothing to run: the prompt has no tokens.", "Type some text, or switch BOS on.")
    if values.numel() > n_ctx:
        raise ModelError(
            f"The prompt is {values.numel()} tokens long, but this model takes at most {n_ctx}.",
            f"Shorten it by {values.numel() - n_ctx} tokens.",
        )
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= d_vocab:
        raise ModelError(
            f"Token id {low if low < 0 else high} does not exist in this model.", f"Ids run from 0 to {d_vocab - 1}."
        )
    return values


class Recording:
    """The hooks of one pass and what they saw. ``layers``: those whose pattern, queries, keys and values are kept, at
    every position; ``positions``: those at which the stream is; ``again``: whether calls of attention are kept."""

    def __init__(
        self,
        bridge: Any,
        n: int,
        layers: Collection[int],
        positions: slice,
        check: Callable[[], None],
        again: bool = False,
    ) -> None:
        self.bridge, self.n, self.positions, self.check, self.again = bridge, n, positions, check, again
        self.layers = sorted(set(layers))
        self.embed_name = "embed_ln.hook_out" if "embed_ln" in bridge._modules else "embed.hook_out"
        self.home = home(bridge.original_model)
        self.seen: dict[str, Tensor] = {}
        self.masks: dict[int, Tensor] = {}
        self.calls: dict[int, tuple[Any, Any]] = {}

    def hooks(self) -> list[tuple[str, Callable[..., None]]]:
        names = [self.embed_name]
        if "pos_embed" in self.bridge._modules:
            names.append("pos_embed.hook_out")
        last = len(self.bridge.blocks) - 1
        for layer, block in enumerate(self.bridge.blocks):
            at = f"blocks.{layer}."
            names += [at + "hook_in", at + "hook_attn_out", at + "attn.hook_z"]
            if "ln1_post" in block._modules:
                names.append(at + "attn.hook_out")
            if "mlp" in block._modules:
                names.append(at + "hook_mlp_out")
                if "hook_resid_mid" in block.hook_aliases:
                    names.append(at + "hook_resid_mid")
        names.append(f"blocks.{last}.hook_out")
        return [(name, self._keep(name, self.positions)) for name in names] + self.attention_hooks()

    def attention_hooks(self) -> list[tuple[str, Callable[..., None]]]:
        names = [
            f"blocks.{layer}.attn.{kind}"
            for layer in self.layers
            for kind in ("hook_pattern", "hook_q", "hook_k", "hook_v")
        ]
        return [(name, self._keep(name, slice(None))) for name in names]

    def _keep(self, name: str, positions: slice) -> Callable[..., None]:
        """What a hook does: keep ``[b, n, …]``, or ``[n, …]`` of what all prompts share, at ``positions``."""

        def keep(tensor: Tensor, hook: Any) -> None:
            self.check()
            value = tensor.detach()[:, positions] if tensor.ndim > 2 else tensor.detach()[positions]
            kept = value.float() if value.dtype != torch.float32 else value.clone()
            self.seen[name] = kept.to(self.home)  # of layers on several devices too

        return keep

    def of(self, name: str, prompt: int) -> Tensor:
        """One prompt's share of what a hook kept."""
        value = self.seen[name]
        return value if value.ndim < 3 else value[prompt if len(value) > 1 else 0]

    def watch_masks(self) -> list[Any]:
        """Pre-hooks that keep the mask each attention is handed: the one certain source for sliding windows; and all
        that it is handed, where it may have to run again."""

        last: list[Any] = [None, None]

        def watch(layer: int) -> Any:
            def keep(_module: Any, args: Any, kwargs: dict[str, Any]) -> None:
                if self.again:
                    self.calls[layer] = args, dict(kwargs)
                mask = kwargs.get("attention_mask")
                if not isinstance(mask, Tensor) or mask.ndim != 4:
                    return
                if mask is not last[0]:  # most models hand one mask to every layer
                    # Without padding it is the same for every prompt.
                    last[:] = [mask, mask[0].detach().clone().to(self.home)]
                self.masks[layer] = last[1]

            return keep

        return [
            block.attn.register_forward_pre_hook(watch(layer), with_kwargs=True)
            for layer, block in enumerate(self.bridge.blocks)
        ]

    def attention(self, prompt: int, rotation: Callable[[int], Rotate | None]) -> dict[str, dict[int, Tensor]]:
        """``patterns``, ``queries``, ``keys`` and ``values`` of a Trace."""
        out: dict[str, dict[int, Tensor]] = {"patterns": {}, "queries": {}, "keys": {}, "values": {}}
        cfg = self.bridge.cfg
        for layer in self.layers:
            at = f"blocks.{layer}.attn."
            if at + "hook_pattern" in self.seen:
                out["patterns"][layer] = self.of(at + "hook_pattern", prompt)
            if all(at + name in self.seen for name in ("hook_q", "hook_k", "hook_v")):
                q, k, v = (
                    self.of(at + name, prompt).reshape(self.n, -1, cfg.d_head)
                    for name in ("hook_q", "hook_k", "hook_v")
                )
                attn, rotate = self.bridge.blocks[layer].attn, rotation(layer)
                out["queries"][layer] = used(attn, clipped(attn, q), "q_norm", rotate)
                out["keys"][layer] = expand(used(attn, clipped(attn, k), "k_norm", rotate), cfg.n_heads)
                out["values"][layer] = expand(clipped(attn, v), cfg.n_heads)
        return out

    def stack(self, kind: str, prompt: int) -> Tensor | None:
        names = [f"blocks.{layer}.{kind}" for layer in range(len(self.bridge.blocks))]
        every = all(name in self.seen for name in names)
        return torch.stack([self.of(name, prompt) for name in names]) if every else None

    @cached_property
    def reach(self) -> dict[int, Tensor]:
        """What ``visible`` says of every layer, one tensor where neighbours see the same: a mask of 1,000 tokens is a
        megabyte."""
        out: dict[int, Tensor] = {}
        for layer in range(len(self.bridge.blocks)):
            own = self.visible(layer)
            before = out.get(layer - 1)
            out[layer] = before if before is not None and torch.equal(before, own) else own
        return out

    def visible(self, layer: int) -> Tensor:
        """``[n, n]`` or ``[n_heads, n, n]`` bool."""
        reach = torch.ones(self.n, self.n, dtype=torch.bool, device=self.seen[self.embed_name].device)
        if getattr(self.bridge.cfg, "attention_dir", "causal") == "causal":
            reach = reach.tril()
        attn = self.bridge.blocks[layer].attn.original_component
        own = getattr(attn, "bias", None)
        if is_native(attn) and attn.causal:  # with the windows of local attention
            reach = reach & ~attn.causal_mask[: self.n, : self.n].to(reach.device)
        if isinstance(own, Tensor) and own.dtype == torch.bool and own.ndim == 4:  # GPT-Neo's local attention
            reach = reach & own[0, 0, : self.n, : self.n].to(reach.device)
        mask = self.masks.get(layer)
        if mask is None:
            return reach
        seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        seen = seen[0] if seen.shape[0] == 1 else seen
        return reach & seen[..., : self.n, : self.n]


def run_traces(
    bridge: Any,
    ids: Tensor,
    layers: Collection[int],
    rotation: Callable[[int], Rotate | None],
    check: Callable[[], None],
    interventions: Sequence[Hook] = (),
    positions: slice = slice(None),
    again: bool = False,
) -> list[Trace]:
    """One forward pass of checked ``ids [b, n]`` → a Trace for each prompt. Logits and activations are those of the
    changed model where ``interventions`` change something; ``positions``: those at which stream and logits are kept;
    ``again``: of one prompt, so much that ``with_attention`` can read any layer's attention later."""
    record = Recording(bridge, ids.shape[1], layers, positions, check, again and len(ids) == 1)
    changes = _changes(interventions)
    check()
    with torch.inference_mode():
        handles = record.watch_masks()
        try:
            with bridge.hooks(fwd_hooks=[*changes, *record.hooks()]):
                logits = bridge(ids, return_type="logits", use_cache=False)[:, positions].contiguous()
        finally:
            for handle in handles:
                handle.remove()
        check()
        logits = logits.to(ids.device)
        return [_assemble(record, index, ids[index], plain(logits[index]), rotation) for index in range(len(ids))]


def with_attention(
    bridge: Any,
    trace: Trace,
    layer: int,
    rotation: Callable[[int], Rotate | None],
    check: Callable[[], None],
    interventions: Sequence[Hook] = (),
) -> Trace:
    """The trace of a pass with ``again``, with one layer's pattern, queries, keys and values: bit by bit those of the
    pass, since the model's own attention runs once more on what it was called with."""
    record = Recording(bridge, len(trace.ids), [layer], slice(None), check)
    args, kwargs = trace.calls[layer]
    check()
    hooks = [*_changes(interventions), *record.attention_hooks()]
    with torch.inference_mode(), bridge.hooks(fwd_hooks=hooks):
        bridge.blocks[layer].attn(*args, **kwargs)
    check()
    return replace(trace, **record.attention(0, rotation))  # type: ignore[arg-type]


def _changes(interventions: Sequence[Hook]) -> list[tuple[str, Callable[..., Tensor]]]:
    return [(name, lambda tensor, hook, change=change: change(tensor)) for name, change in interventions]


class _Enough(Exception):
    """Ends a pass of which nothing more is wanted."""


def run_patterns(bridge: Any, ids: Tensor, read: Callable[[int, Tensor], None], check: Callable[[], None]) -> None:
    """One forward pass of checked ``ids [b, n]``: ``read(layer, pattern)`` gets each layer's ``[b, n_heads, n, n]`` in
    float32 as attention makes it, and none is kept. The pass ends with the last of them, before the logits."""
    last = len(bridge.blocks) - 1

    def hand_over(layer: int) -> Callable[..., None]:
        def hook(pattern: Tensor, hook: Any) -> None:
            check()
            read(layer, pattern.detach().float().to(ids.device))
            if layer == last:
                raise _Enough

        return hook

    def look(tensor: Tensor, hook: Any) -> None:
        check()

    hooks = [(f"blocks.{layer}.hook_in", look) for layer in range(last + 1)]
    hooks += [(f"blocks.{layer}.attn.hook_pattern", hand_over(layer)) for layer in range(last + 1)]
    check()
    with torch.inference_mode(), contextlib.suppress(_Enough), bridge.hooks(fwd_hooks=hooks):
        bridge(ids, return_type="logits", use_cache=False)


def _assemble(
    record: Recording, prompt: int, ids: Tensor, logits: Tensor, rotation: Callable[[int], Rotate | None]
) -> Trace:
    bridge, cfg = record.bridge, record.bridge.cfg
    n_layers = len(bridge.blocks)
    pre = record.stack("hook_in", prompt)
    attn_out, z = record.stack("hook_attn_out", prompt), record.stack("attn.hook_z", prompt)
    if pre is None or attn_out is None or z is None:
        missing = "hook_in" if pre is None else "hook_attn_out" if attn_out is None else "attn.hook_z"
        raise ModelError(f"This architecture does not show its {missing} in every layer.", "Choose another model.")
    embed = record.of(record.embed_name, prompt)
    pos = record.of("pos_embed.hook_out", prompt) if "pos_embed.hook_out" in record.seen else None
    with here(*(block.attn.o for block in bridge.blocks)):
        b_O = [output_bias(block, cfg.d_model).to(embed.device) for block in bridge.blocks]
    return Trace(
        ids=ids,
        embed=embed,
        pos=pos.expand(len(embed), -1) if pos is not None else None,
        resid_pre=torch.cat([pre, record.of(f"blocks.{n_layers - 1}.hook_out", prompt)[None]]),
        resid_mid=record.stack("hook_resid_mid", prompt),
        attn_out=attn_out,
        mlp_out=record.stack("hook_mlp_out", prompt),
        z=z.reshape(n_layers, len(embed), cfg.n_heads, -1),
        b_O=torch.stack(b_O),
        attn_post_scale=_post_scale(record, prompt),
        logits=logits,
        visible=record.reach,
        score_bias=_score_bias(bridge, len(embed)),
        calls=record.calls,
        **record.attention(prompt, rotation),
    )


def _score_bias(bridge: Any, n: int) -> dict[int, Tensor]:
    """What ALiBi adds, ``[n_heads, n, n]`` (each query's row the same view); one tensor for all layers."""
    bias = score_bias(bridge, 0)
    if bias is None:
        return {}
    made = bias(n)[:, None].expand(-1, n, -1)
    return dict.fromkeys(range(len(bridge.blocks)), made)


def used(attn: Any, x: Tensor, norm_name: str, rotate: Rotate | None) -> Tensor:
    """``[n, heads, d_head]`` projected queries or keys → as attention used them: normalised, then rotated."""
    norm = read_norm(attn, norm_name)
    n, heads, d_head = x.shape
    if norm.kind != "none":
        over_all = norm.w is not None and norm.w.ndim == 1 and norm.w.numel() == heads * d_head != d_head
        x = norm(x.flatten(1)).view_as(x) if over_all else norm(x)
    if rotate is None:
        return x
    positions = torch.arange(n, device=x.device).repeat(heads)
    return rotate(x.transpose(0, 1).reshape(-1, d_head), positions).view(heads, n, d_head).transpose(0, 1)


def clipped(attn: Any, x: Tensor) -> Tensor:
    """Projected queries, keys or values as the model clips them (OLMo 1); x itself where it does not."""
    limit = clip(attn)
    return x if limit is None else x.clamp(-limit, limit)


def expand(x: Tensor, n_heads: int) -> Tensor:
    """Grouped keys or values ``[n, groups, d_head]`` → one for each query head."""
    return x if x.shape[1] == n_heads else x.repeat_interleave(n_heads // x.shape[1], dim=1)


def _post_scale(record: Recording, prompt: int) -> Tensor | None:
    """Post-norm blocks (Gemma 2 and 3, OLMo 2): what a head's write is multiplied by on its way into the stream."""
    out = []
    for layer, block in enumerate(record.bridge.blocks):
        norm: Norm = read_norm(block, "ln1_post")
        if norm.kind != "RMSNorm":
            return None
        raw = record.of(f"blocks.{layer}.attn.hook_out", prompt)
        gain = norm.w if norm.w is not None else torch.ones_like(raw[0])
        out.append(gain / norm.scale(raw))
    return torch.stack(out)
