"""Code for what one forward pass holds: patterns, the residual stream and its states, the lens, attribution."""

from __future__ import annotations

from ..engine import jobs
from .parts import Code, No, attn_scale, direction, head, none_is_zero, weights

_CACHE = "_, cache = model.run_with_cache(tokens)\n"
_PARTS = """
names = ["hook_embed"] + ["hook_pos_embed"] * (model.cfg.positional_embedding_type == "standard")
for layer in range(model.cfg.n_layers):
    names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
parts = torch.stack([cache[name][0] for name in names]).float()  # component × position × d_model
"""
_FINAL = """
final = cache[f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"][0].float()
"""
_SCALE = """
centred = final - final.mean(-1, keepdim=True) if model.cfg.normalization_type.startswith("LN") else final
scale = (centred.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()  # of the final norm, frozen
"""
_HEADS = """
b_O = """ + none_is_zero("b_O") + """


def writes(layers, at):
    yield "embed", cache["hook_embed"][0, at]
    if model.cfg.positional_embedding_type == "standard":
        yield "pos", cache["hook_pos_embed"][0, at]
    for layer in range(layers):
        z, block = cache[f"blocks.{layer}.attn.hook_z"][0, at], f"blocks.{layer}"
        if by_head:
            for number in range(model.cfg.n_heads):
                yield f"L{layer}H{number}", z[number] @ model.W_O[layer, number]
            if b_O[layer].any():
                yield f"L{layer}.bias", b_O[layer]
        else:
            yield f"L{layer}.attn", cache[f"{block}.hook_attn_out"][0, at]
        yield f"L{layer}.mlp", cache[f"{block}.hook_mlp_out"][0, at]
"""
_STATES = """
hooks = [f"blocks.{{layer}}.hook_resid_{{at}}" for layer in range(model.cfg.n_layers) for at in {rows}]
hooks.append(f"blocks.{{model.cfg.n_layers - 1}}.hook_resid_post")
states = torch.stack([cache[hook][0] for hook in hooks])  # state × position × d_model
"""


def _states(mids: bool) -> str:
    return _STATES.format(rows='("pre", "mid")' if mids else '("pre",)')


def _tokens(run: jobs.Run) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return (("tokens", run.ids),)


def pattern(job: jobs.Pattern) -> Code | No:
    hook = "hook_attn_scores" if job.kind == "scores" else "hook_pattern"
    body = f"""{_CACHE}values = cache["blocks.{job.layer}.attn.{hook}"][0, {job.head}].float()
"""
    if job.kind == "value-weighted":
        body += f"""{weights(job.layer, job.head, ("W_V", "W_O"))}
v = cache["blocks.{job.layer}.attn.hook_v"][0].unflatten(-1, (-1, W_V.shape[1])).flatten(0, -3)
v = v.view(len(tokens[0]), -1, W_V.shape[1])[:, group].float()
values = values * (v @ W_O).norm(dim=-1)
"""
    body += """masked = torch.ones_like(values).triu(1).bool()
result = values.masked_fill(masked, torch.nan)
"""
    return Code(f"{head(job)}: {job.kind}, [query, key]", body, _tokens(job.run), processed=False)


def layer_patterns(job: jobs.LayerPatterns) -> Code | No:
    body = f"""{_CACHE}values = cache["blocks.{job.layer}.attn.hook_pattern"][0].float()
masked = torch.ones_like(values).triu(1).bool()
result = values.masked_fill(masked, torch.nan)
"""
    return Code(f"L{job.layer}: patterns, [head, query, key]", body, _tokens(job.run), processed=False)


def residual(job: jobs.Residual) -> Code | No:
    if job.unit != "component":
        return No(f"there is code for parts by component, not by {job.unit}: u changes that")
    body = _CACHE + _PARTS
    if job.measure == "norm":
        body += "result = parts.norm(dim=-1)\n"
        return Code("what every component writes, its length, [component, position]", body, _tokens(job.run),
                    job.weights == "processed")  # fmt: skip
    assert job.target is not None
    body += _FINAL + _SCALE + direction(job.target) + "\nresult = (parts / scale) @ direction\n"
    return Code("what every component writes toward the answer, [component, position]", body, _tokens(job.run))


def states(job: jobs.Stream) -> Code | No:
    body = _CACHE + _states(job.mids)
    if job.measure == "norm":
        body += "result = states.float().norm(dim=-1)\n"
    else:
        body += "result = torch.nn.functional.cosine_similarity(states.float(), states[-1:].float(), dim=-1)\n"
    what = "their length" if job.measure == "norm" else "cosine with the final one"
    return Code(f"states of the stream, {what}, [state, position]", body, _tokens(job.run), job.weights == "processed")


def write_cosines(job: jobs.WriteCosines) -> Code | No:
    if job.unit != "component":
        return No("there is code for parts by component alone")
    body = _CACHE + _PARTS + f"""unit = torch.nn.functional.normalize(parts[:, {job.position}], dim=-1)
result = unit @ unit.T
"""
    return Code(f"cosines between writes at position {job.position}, [component, component]", body, _tokens(job.run),
                job.weights == "processed")  # fmt: skip


def lens(job: jobs.Lens) -> Code | No:
    body = _CACHE + _states(job.mids) + """
logits = torch.stack([model.unembed(model.ln_final(state[None]))[0] for state in states]).float()
log_p = logits.log_softmax(-1)
"""
    answers = list(job.target.answers) if job.target is not None else []
    body += {
        "probability": "result = log_p.exp().amax(-1)\n",
        "answer": f"result = log_p[..., {answers}].exp().mean(-1)\n",
        "rank": f"result = torch.stack([1 + (logits > logits[..., [answer]]).sum(-1) for answer in {answers}])"
                ".float().mean(0)\n",
        "entropy": "result = -(log_p.exp() * log_p).sum(-1)\n",
        "kl": "result = (log_p[-1].exp() * (log_p[-1] - log_p)).sum(-1)\n",
    }[job.measure]  # fmt: skip
    return Code(f"logit lens, {job.measure}, [state, position]", body, _tokens(job.run), processed=False)


def attribution(job: jobs.Attribution) -> Code | No:
    at = job.position
    body = _CACHE + _FINAL + _SCALE + direction(job.target) + "\n"
    if job.unit == "neuron":
        body += f"""act = cache["blocks.{job.layer}.mlp.hook_post"][0, {at}].float()
effects = act * (model.W_out[{job.layer}].float() @ direction) / scale[{at}]
best = effects.abs().topk({job.k}).indices
others = effects.sum() - effects[best].sum()
bias = [model.b_out[{job.layer}].float() @ direction / scale[{at}]] if hasattr(model, "b_out") else []
result = torch.cat([effects[best], others[None], *bias])
"""
        return Code(f"L{job.layer}.mlp: its largest neurons toward the answer at position {at}, then all others and "
                    "the bias", body, _tokens(job.run))  # fmt: skip
    distractors = (
        f"b_U[{list(job.target.distractors)}].mean()" if job.target.distractors else "b_U.mean()"
    )
    body += f"""by_head = {job.unit == "head"}
{_HEADS.strip()}


parts = dict(writes(model.cfg.n_layers, {at}))
result = torch.stack([(write.float() / scale[{at}]) @ direction for write in parts.values()])
b_U = {none_is_zero("b_U")}
bias = b_U[{list(job.target.answers)}].mean() - {distractors}
result = torch.cat([result, bias[None].float()])  # a row a part, then the unembedding's bias
"""
    return Code(f"direct logit attribution at position {at}, a row a part", body, _tokens(job.run))


def sources(job: jobs.Sources) -> Code | No:
    body = _CACHE + _FINAL + _SCALE + direction(job.target) + f"""
{weights(job.layer, job.head, ("W_V", "b_V", "W_O"))}
stream = cache["blocks.{job.layer}.ln1.hook_normalized"][0].float()
v = stream @ W_V + b_V
pattern = cache["blocks.{job.layer}.attn.hook_pattern"][0, {job.head}].float()
masked = torch.ones_like(pattern).triu(1).bool()
result = (pattern * (v @ W_O @ direction) / scale).masked_fill(masked, torch.nan)
"""
    return Code(f"{head(job)}: what each source gives toward the answer, [destination, source]", body, _tokens(job.run))


def score_parts(job: jobs.ScoreParts) -> Code | No:
    layer, i, j = job.layer, job.query, job.key
    less = "torch.zeros_like(k[0])"
    if job.against == "mean":
        less = "pattern @ k_all"
    elif job.against is not None:
        less = "k_all[0]"
    keys = f"[{job.against}]" if isinstance(job.against, int) else f"range({i} + 1)"
    body = _CACHE + f"""by_head = {job.unit == "head"}
{_HEADS.strip()}


{weights(layer, job.head, ("W_Q", "b_Q", "W_K", "b_K"))}
resid = cache["blocks.{layer}.hook_resid_pre"][0].float()
centred = resid - resid.mean(-1, keepdim=True) if model.cfg.normalization_type.startswith("LN") else resid
scale = (centred.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()  # of the layer's norm, frozen


def through(W, b, at):  # a row a part, then the bias
    parts = torch.stack([write.float() for write in dict(writes({layer}, at)).values()]) / scale[at]
    return torch.cat([parts @ W, b[None]])


q, k = through(W_Q, b_Q, {i}), through(W_K, b_K, {j})
k_all = torch.stack([through(W_K, b_K, at) for at in {keys}])
pattern = cache["blocks.{layer}.attn.hook_pattern"][0, {job.head}, {i}, : {i} + 1].float()
less = {less.replace("pattern @ k_all", "torch.einsum('j,jpd->pd', pattern, k_all)")}
{attn_scale(layer, job.head)}result = q @ (k - less).T / attn_scale
"""
    return Code(f"{head(job)}: the score {i} → {j} over pairs of components, [part at the query, part at the key]",
                body, _tokens(job.run))  # fmt: skip


def neurons(job: jobs.Neurons) -> Code | No:
    layer, at = job.layer, job.position
    if job.neuron is not None:
        return No("there is code for the neurons that matter most, not for one that was named: enter another layer")
    body = _CACHE + f"""act = cache["blocks.{layer}.mlp.hook_post"][0].float()
"""
    if job.target is None:
        body += f"sizes = act[{at}].abs() * model.W_out[{layer}].float().norm(dim=-1)\n"
    else:
        body += _FINAL + _SCALE + direction(job.target) + f"""
sizes = (act[{at}] * (model.W_out[{layer}].float() @ direction) / scale[{at}]).abs()
"""
    body += f"result = act[:, sizes.topk({job.k}).indices].T\n"
    return Code(f"L{layer}.mlp: the neurons that matter most at position {at}, [neuron, position]", body,
                _tokens(job.run))  # fmt: skip
