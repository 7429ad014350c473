"""Code for what the weights of heads say: QK, OV, the circuits through two heads, singular values, strongest pairs."""

from __future__ import annotations

from ..engine import jobs
from ..results import head_name
from .parts import NORM, TURNED, Code, Ids, No, attn_scale, head, weights

_NORMALISE = {
    "none": "",
    "centered": "result = result - {mean}\n",
    "zscore": "result = (result - {mean}) / {std}\n",
    "softmax": "result = (result - {lse}).exp()\n",
}


def _normalised(how: str, baseline: str, visible: bool = False) -> str:
    """A baseline taken off each row; ``baseline``: the expression of the rows that it is of."""
    if visible:  # the cells that a query may see
        of = f"torch.where(masked, torch.nan, {baseline})"
        mean = f"{of}.nanmean(-1, keepdim=True)"
        std = f"({of} - {mean}).pow(2).nanmean(-1, keepdim=True).sqrt()"
        lse = f"{baseline}.masked_fill(masked, -torch.inf).logsumexp(-1, keepdim=True)"
    else:
        mean, std = f"{baseline}.mean(-1, keepdim=True)", f"{baseline}.std(-1, correction=0, keepdim=True)"
        lse = f"{baseline}.logsumexp(-1, keepdim=True)"
    return _NORMALISE[how].format(mean=mean, std=std, lse=lse)


def _read(basis: str, layer: int, processed: bool, ids: str = "tokens[0]") -> str:
    """``x``: what a head of a layer reads for tokens, [token, d_model]."""
    norm = NORM[processed].format(layer=layer) if not processed else NORM[True]
    if basis == "embed":
        return f"x = model.W_E[{ids}].float()\n"
    if basis == "prompt":
        run = f'_, cache = model.run_with_cache(tokens)\nx = norm(cache["blocks.{layer}.hook_resid_pre"][0])\n'
        return f"{norm}\n\n{run}"
    made = f"x = model.W_E[{ids}]\n"
    if basis == "effective":
        made += "x = x + model.blocks[0].mlp(model.blocks[0].ln2(x[None]))[0]  # behind the first MLP\n"
    return f"{norm}\n\n{made}x = norm(x).float()\n"


def qk(job: jobs.QK) -> Code | No:
    if job.offset:
        return No("there is code for the rotary offset 0 alone: o sets it")
    processed, ids = job.weights == "processed", job.rows if job.run is None else job.run.ids
    whole = job.normalize != "none" and job.baseline == "vocabulary"
    sides = job.term.split("-")
    if whole and sides[1] == "position":
        return No("there is code for the baseline of shown positions alone: N chooses it")
    body = _read(job.basis, job.layer, processed)
    names = {"token": "x", "position": "p"}
    body += attn_scale(job.layer, job.head) if job.form == "scaled" else ""
    if "position" in sides:
        norm = "norm" if job.basis == "normed" else ""
        body += f"p = {norm}(model.W_pos[: len(tokens[0])]).float()\n"
    body += weights(job.layer, job.head, ("W_Q", "b_Q", "W_K", "b_K")) + "\n"
    bias_q, bias_k = (" + b_Q", " + b_K") if job.form == "scaled" else ("", "")
    over = " / attn_scale" if job.form == "scaled" else TURNED  # the one has it in it
    body += f"q, k = {names[sides[0]]} @ W_Q{bias_q}, {names[sides[1]]} @ W_K{bias_k}\nresult = q @ k.T{over}\n"
    if job.basis == "prompt":
        body += "masked = torch.ones_like(result).triu(1).bool()\n"
    if whole:
        body += "everything = torch.arange(model.cfg.d_vocab, device=model.cfg.device)\n"
        body += _read(job.basis, job.layer, processed, "everything").rpartition("\n\n\n")[2]
        body += f"whole = q @ (x @ W_K{bias_k}).T{over}\n"
    body += _normalised(job.normalize, "whole" if whole else "result", job.basis == "prompt")
    if job.basis == "prompt":
        body += "result = result.masked_fill(masked, torch.nan)\n"
    return Code(f"{head(job)}: QK, {job.form}, {job.basis}, [query, key]", body, (("tokens", ids),), processed)


def ov(job: jobs.OV) -> Code | No:
    if job.outputs is None:
        return No("there is code for the shown tokens as outputs")
    processed, ids = job.weights == "processed", job.sources if job.run is None else job.run.ids
    if job.head is None and job.basis != "embed":
        return No("there is code for the direct path of the embedding: b chooses it")
    body = _read(job.basis, job.layer, processed)
    if job.head is None:
        body += "written = x\n"
    else:
        body += weights(job.layer, job.head, ("W_V", "W_O")) + "\nwritten = x @ W_V @ W_O\n"
    body += f"result = written @ model.W_U[:, {list(job.outputs)}].float()\n"
    if job.normalize != "none" and job.baseline == "vocabulary":
        body += "whole = written @ model.W_U.float()\n"
    body += _normalised(job.normalize, "whole" if job.baseline == "vocabulary" else "result")
    name = "direct path" if job.head is None else f"{head_name(job.layer, job.head)}: OV"
    return Code(f"{name}, {job.basis}, [source, output]", body, (("tokens", ids),), processed)


def _through(path: tuple[jobs.HeadAt, jobs.HeadAt], ids: Ids) -> str:
    """``x`` and what the first head of a path writes of it."""
    (layer, number), _ = path
    return f"""x = model.W_E[tokens[0]].float()
{weights(layer, number, ("W_V", "W_O"))}
moved = x @ W_V @ W_O
"""


def virtual_qk(job: jobs.VirtualQK) -> Code | No:
    (_, at) = job.path
    sides = ("x", "moved") if job.side == "k" else ("moved", "x")
    body = _through(job.path, job.rows) + weights(*at)
    body += f"\nresult = ({sides[0]} @ W_Q) @ ({sides[1]} @ W_K).T{TURNED}\n"
    return Code(f"QK of {head_name(*at)} through {head_name(*job.path[0])}, [query, key]", body,
                (("tokens", job.rows),), job.weights == "processed")  # fmt: skip


def virtual_ov(job: jobs.VirtualOV) -> Code | No:
    (_, at) = job.path
    body = _through(job.path, job.sources) + weights(*at, ("W_V", "W_O"))
    body += f"\nresult = moved @ W_V @ W_O @ model.W_U[:, {list(job.outputs)}].float()\n"
    return Code(f"OV of {head_name(*at)} through {head_name(*job.path[0])}, [source, output]", body,
                (("tokens", job.sources),), job.weights == "processed")  # fmt: skip


def spectrum(job: jobs.Spectrum) -> Code | No:
    names, product = (("W_Q", "W_K"), "W_Q @ W_K.T") if job.circuit == "qk" else (("W_V", "W_O"), "W_V @ W_O")
    body = f"""{weights(job.layer, job.head, names)}
result = torch.linalg.svdvals(({product}).double())[: model.cfg.d_head]
"""
    return Code(f"{head(job)}: singular values of W_{job.circuit.upper()}", body, processed=job.weights == "processed")


def _everything(circuit: str) -> str:
    """``left`` and ``right`` of a circuit over the whole vocabulary: the scores are ``left @ right.T``."""
    if circuit == "qk":
        return f"left, right = x @ W_Q{TURNED}, x @ W_K\n"
    return "left, right = x @ W_V, (W_O @ model.W_U.float()).T\n"


def top_pairs(job: jobs.TopPairs) -> Code | No:
    if job.filter.pattern or job.filter.shortest:
        return No("there is code for all tokens, not for filtered ones: ; then an empty line takes the filter away")
    if job.offset:
        return No("there is code for the rotary offset 0 alone: o sets it")
    names = ("W_Q", "W_K") if job.circuit == "qk" else ("W_V", "W_O")
    body = "everything = torch.arange(model.cfg.d_vocab, device=model.cfg.device)\n"
    body += _read(job.basis, job.layer, job.weights == "processed", "everything")
    same = "scores.fill_diagonal_(-torch.inf)  # a token with itself is left out\n" if job.filter.same else ""
    body += f"""{weights(job.layer, job.head, names)}
{_everything(job.circuit)}scores = left @ right.T
{same}result, places = scores.flatten().topk({job.k})
pairs = torch.stack([places // scores.shape[1], places % scores.shape[1]], -1)  # token ids
"""
    return Code(f"{head(job)}: the strongest {job.circuit.upper()} pairs of the vocabulary", body,
                processed=job.weights == "processed")  # fmt: skip


def pair_search(job: jobs.PairSearch) -> Code | No:
    if job.offset or job.basis != "embed":
        return No("there is code for the basis embed at offset 0: b and o set them")
    names = ("W_Q", "W_K") if job.circuit == "qk" else ("W_V", "W_O")
    product = "(x @ W_Q)[first] @ (x @ W_K).T"
    if job.circuit == "ov":
        product = "(x @ W_V)[first] @ (W_O @ model.W_U.float())"
    group = "number // (model.cfg.n_heads // model.W_K.shape[1])"
    parts = {"W_Q": "model.W_Q[layer, number]", "W_K": f"model.W_K[layer, {group}]",
             "W_V": f"model.W_V[layer, {group}]", "W_O": "model.W_O[layer, number]"}  # fmt: skip
    body = f"""pairs = {list(map(list, job.pairs))}
pairs = torch.tensor([side for one, other in pairs for side in ((one, other), (other, one))])  # and their reverse
first, second = pairs.T
x = model.W_E.float()
rows = []
for layer in range(model.cfg.n_layers):
    for number in range(model.cfg.n_heads):
        {", ".join(names)} = {", ".join(f"{parts[name]}.float()" for name in names)}
        scores = {product}
        own = scores.gather(1, second[:, None])
        z = ((own - scores.mean(-1, keepdim=True)) / scores.std(-1, correction=0, keepdim=True))[:, 0]
        rank = 1 + (scores > own).sum(-1)
        typed = slice(0, None, 2)  # the pairs as typed
        beside = torch.stack([z, rank.float()], -1).flatten()
        rows.append(torch.cat([torch.stack([z[typed].mean(), z[typed].min(), rank[typed].float().mean()]), beside]))
result = torch.stack(rows)
order = result[:, 0].argsort(descending=True, stable=True)  # heads, the best first
result = result[order]
"""
    return Code("all heads by how they tie pairs of tokens: mean z, worst z, mean rank, then z and rank of each pair "
                "and of its reverse", body, processed=job.weights == "processed")  # fmt: skip
