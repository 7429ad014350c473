"""Code that changes a run: knock-outs, patches between two prompts, paths."""

from __future__ import annotations

from ..engine import jobs
from .heads import receiver
from .parts import Code, Ids, No, none_is_zero, scored

_METRICS = {
    "logit difference": "{difference}",
    "log-probability": "logits.log_softmax(-1)[..., {answers}].mean(-1)",
    "probability": "logits.softmax(-1)[..., {answers}].mean(-1)",
    "rank": "torch.stack([1 + (logits > logits[..., [answer]]).sum(-1) for answer in {answers}], -1).float().mean(-1)",
    "KL": "(own.log_softmax(-1).exp() * (own.log_softmax(-1) - logits.log_softmax(-1))).sum(-1)",
}


def _metric(metric: str, target: jobs.Target) -> str:
    """A metric of ``logits``; ``own``: those of the clean run."""
    return _METRICS[metric].format(difference=scored(target), answers=list(target.answers))


def _two(clean: jobs.Run, corrupted: jobs.Run) -> tuple[tuple[str, Ids], ...]:
    return (("clean", clean.ids), ("corrupted", corrupted.ids))


def effects(job: jobs.Effects) -> Code | No:
    if job.how not in ("zero", "zero, value biases folded"):
        return No(f"there is code for parts at zero, not at {job.how}: u changes that")
    if job.continuation:
        return No("there is code for the metrics of one position, not for a loss: m changes that")
    folded = job.how != "zero"
    becomes = f"{none_is_zero('b_V')}[layer, number // (model.cfg.n_heads // model.W_V.shape[1])]" if folded else "0.0"
    metrics = ",\n        ".join(_metric(name, job.target) for name in jobs.METRICS)
    body = f"""at = {job.position}


def metrics(logits):
    return torch.stack([
        {metrics},
    ])


own = model(tokens)[0, at].double()
rows = []
for layer in range(model.cfg.n_layers):
    for number in range(model.cfg.n_heads):
        def knock_out(z, hook):  # [1, position, head, d_head]
            z[:, :, number] = {becomes}
            return z

        logits = model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{{layer}}.attn.hook_z", knock_out)])[0, at].double()
        rows.append(metrics(logits) - metrics(own))
    hooks = [(f"blocks.{{layer}}.hook_mlp_out", lambda out, hook: torch.zeros_like(out))]
    rows.append(metrics(model.run_with_hooks(tokens, fwd_hooks=hooks)[0, at].double()) - metrics(own))
result = torch.stack(rows)  # a row a part, in the model's order
"""
    return Code(f"each head and MLP at {job.how}: the change of {', '.join(jobs.METRICS)}", body,
                (("tokens", job.run.ids),), job.weights == "processed")  # fmt: skip


_HOOKS = {
    "z": "attn.hook_z", "q": "attn.hook_q", "k": "attn.hook_k", "v": "attn.hook_v", "pattern": "attn.hook_pattern",
    "resid_pre": "hook_resid_pre", "resid_mid": "hook_resid_mid", "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out", "neuron": "mlp.hook_post",
}  # fmt: skip


def patching(job: jobs.PatchingGrid) -> Code | No:
    if job.continuation:
        return No("there is code for the metrics of one position, not for a loss: m changes that")
    base, other = ("corrupted", "clean") if job.toward == "denoise" else ("clean", "corrupted")
    at = ":" if job.position is None else str(job.position)
    if job.by == "neuron":
        return _neurons(job, base, other)
    heads = "model.W_K.shape[1]" if job.site in ("k", "v") else "model.cfg.n_heads"
    cells, place = {
        "head": (f"[(number, slice(None)) for number in range({heads})]", f"[:, number, {at}]" if job.site == "pattern"
                 else f"[:, {at}, number]"),
        "head-position": (f"[(number, at) for number in range({heads}) for at in range(len(clean[0]))]",
                          "[:, at, number]"),
        "position": ("[(0, at) for at in range(len(clean[0]))]", "[:, at]"),
    }[job.by]  # fmt: skip
    shape = "(-1, len(clean[0]))" if job.by == "head-position" else "(model.cfg.n_layers, -1)"
    body = _between(job, other) + f"""values = []
for layer in range(model.cfg.n_layers):
    hook = f"blocks.{{layer}}.{_HOOKS[job.site]}"
    for number, at in {cells}:
        def patch(value, hook):
            value = value.clone()
            value{place} = cache[hook.name]{place}
            return value

        logits = model.run_with_hooks({base}, fwd_hooks=[(hook, patch)])
        values.append((metric(logits[0, -1].double()) - worst) / (best - worst))
result = torch.stack(values).reshape{shape}  # 0: nothing comes back, 1: all
"""
    return Code(f"{job.site} by {job.by}, {base} run with what the {other} one has: the {job.metric} that comes back",
                body, _two(job.clean, job.corrupted), processed=False)  # fmt: skip


def _between(job: jobs.PatchingGrid, other: str) -> str:
    """The metric, what it is in both runs, and what the run holds that activations are taken from."""
    return f"""def metric(logits):
    return {_metric(job.metric, job.target)}


_, cache = model.run_with_cache({other})
own = model(clean)[0, -1].double()
best, worst = (metric(model(tokens)[0, -1].double()) for tokens in (clean, corrupted))
"""


def _neurons(job: jobs.PatchingGrid, base: str, other: str) -> Code | No:
    """All neurons of a layer in one batch."""
    at = ":" if job.position is None else f"{job.position} : {job.position} + 1"
    body = _between(job, other) + f"""neurons = torch.arange(model.cfg.d_mlp)


def patch(value, hook):
    value = value.clone()
    value[neurons, {at}, neurons] = cache[hook.name][0, {at}].T
    return value


hook = "blocks.{job.layer}.mlp.hook_post"
logits = model.run_with_hooks({base}.expand(model.cfg.d_mlp, -1), fwd_hooks=[(hook, patch)])[:, -1].double()
result = ((metric(logits) - worst) / (best - worst))[:, None]  # 0: nothing comes back, 1: all
"""
    return Code(f"neurons of layer {job.layer}, {base} run with what the {other} one has: the {job.metric} that comes "
                "back", body, _two(job.clean, job.corrupted), processed=False)  # fmt: skip


_SENDERS = """
def writes(cache):  # what every part writes, [part, position, d_model]
    out = [cache["hook_embed"][0]]  # the embedding, with learned positions where there are
    if model.cfg.positional_embedding_type == "standard":
        out[0] = out[0] + cache["hook_pos_embed"][0]
    for layer in range(model.cfg.n_layers):
        z = cache[f"blocks.{layer}.attn.hook_z"][0]
        out += [z[:, number] @ model.W_O[layer, number] for number in range(model.cfg.n_heads)]
        out.append(cache[f"blocks.{layer}.hook_mlp_out"][0])
    return torch.stack(out).float()


_, of_clean = model.run_with_cache(clean)
_, of_corrupted = model.run_with_cache(corrupted)
apart = writes(of_clean) - writes(of_corrupted)


def through(layer, name):  # the differences through the corrupted run's norm, its scale frozen
    stream = of_corrupted[f"blocks.{layer}.{name}"][0].float()
    centre = model.cfg.normalization_type.startswith("LN")
    stream = stream - stream.mean(-1, keepdim=True) if centre else stream
    return apart / (stream.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
"""


def _receives(name: str) -> str:
    """``result`` of every sender to one receiver."""
    at = receiver(name)
    if at is None:
        return """last = through(model.cfg.n_layers - 1, "hook_resid_post")[:, -1]
logits = model(corrupted)[0, -1].double() + (last @ model.W_U.float()).double()
values = metric(logits)
senders = len(apart)
"""
    kind, layer, number = at
    if kind == "mlp":
        hook, senders = f"blocks.{layer}.ln2.hook_normalized", f"{layer + 1} * (model.cfg.n_heads + 1)"
        arriving, place = f'through({layer}, "hook_resid_mid")', ""
    else:
        hook, senders = f"blocks.{layer}.attn.hook_{kind}", f"1 + {layer} * (model.cfg.n_heads + 1)"
        group = f"{number} // (model.cfg.n_heads // model.W_K.shape[1])" if kind in "kv" else str(number)
        arriving = f'through({layer}, "hook_resid_pre") @ model.W_{kind.upper()}[{layer}, {group}].float()'
        place = f"[:, :, {group}]"
    return f"""arriving, senders, values = {arriving}, {senders}, []
for sender in range(senders):
    def add(value, hook):
        value = value.clone()
        value{place} += arriving[sender]
        return value

    values.append(metric(model.run_with_hooks(corrupted, fwd_hooks=[("{hook}", add)])[0, -1].double()))
values = torch.stack(values)
"""


def paths(job: jobs.PathGrid) -> Code | No:
    if job.variant != "direct":
        return No("there is code for direct paths, not for ioi: u changes that")
    body = f"""def metric(logits):
    return {_metric(job.metric, job.target)}


{_SENDERS.strip()}


own = model(clean)[0, -1].double()
best, worst = metric(own), metric(model(corrupted)[0, -1].double())
{_receives(job.receiver)}result = torch.full((len(apart), 1), torch.nan, dtype=torch.double)  # NaN: behind the receiver
result[:senders, 0] = (values - worst) / (best - worst)
"""
    return Code(f"direct paths to {job.receiver}: the {job.metric} that comes back, a row a sender", body,
                _two(job.clean, job.corrupted))  # fmt: skip
