"""Code for scores of all heads: where they look on random tokens or a prompt, whether they copy, who feeds whom."""

from __future__ import annotations

from ..engine import jobs
from ..names import head_at, receiver_at
from ..results import head_name
from .parts import Code, No

_SCORES = """
_, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("attn.hook_pattern"))
again = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)  # row, destination, earlier occurrence
again[:, :, :{start}] = False
row, destination, source = again.nonzero(as_tuple=True)
met = again.any(-1).sum()  # destinations that have an earlier occurrence
rows = []
for layer in range(model.cfg.n_layers):
    pattern = cache[f"blocks.{{layer}}.attn.hook_pattern"].double()  # row × head × query × key
    previous = pattern.diagonal(-1, 2, 3)[..., {start}:].mean((0, 2))
    duplicate = pattern[row, :, destination, source].sum(0) / met
    induction = pattern[row, :, destination, source + 1].sum(0) / met
    later = pattern[:, :, 1:]
    entropy = -torch.xlogy(later, later).sum(-1).mean((0, 2))
    rows.append(torch.stack([previous, duplicate, induction, later[..., 0].mean((0, 2)), entropy], -1))
result = torch.cat(rows)
"""
_COPYING = """
x = model.W_E.float()
W_U = model.W_U.float()
product = W_U @ x
ids = torch.arange(len(x)){sample}
rows = []
for layer in range(model.cfg.n_layers):
    for number in range(model.cfg.n_heads):
        group = number // (model.cfg.n_heads // model.W_V.shape[1])
        W_V, W_O = model.W_V[layer, group].float(), model.W_O[layer, number].float()
        values = torch.linalg.eigvals((W_O @ product @ W_V).double())
        scores = (x[ids] @ W_V) @ (W_O @ W_U)
        larger = (scores > scores.gather(1, ids[:, None])).sum(-1)  # outputs above the token itself
        copying = values.real.sum() / values.abs().sum()
        rows.append(torch.stack([copying, (larger < 1).double().mean(), (larger < 5).double().mean()]))
result = torch.stack(rows)
"""
_COMPOSITION = """
def weights(layer, number):
    group = number // (model.cfg.n_heads // model.W_K.shape[1])
    of = ((model.W_Q, number), (model.W_K, group), (model.W_V, group), (model.W_O, number))
    return [W[layer, at].double() for W, at in of]


def reads(layer, number, side):  # a matrix whose rows are what the head's q, k or v side reads
    W_Q, W_K, W_V, W_O = weights(layer, number)
    return {"q": W_K @ W_Q.T, "k": W_Q @ W_K.T, "v": W_O.T @ W_V.T}[side]


def moments(gram):
    trace = gram.trace()
    return trace, gram.pow(2).sum() - trace**2 / n


def composed(one, two, side):  # score, and z against random rotations of the two heads
    W_Q, W_K, W_V, W_O = weights(*one)
    first, second = W_V @ W_O, reads(*two, side)
    found = (first @ second.T).pow(2).sum()
    (trace_1, apart_1), (trace_2, apart_2) = moments(first.T @ first), moments(second.T @ second)
    z = (found - trace_1 * trace_2 / n) / (2 * apart_1 * apart_2 / ((n - 1) * (n + 2))).sqrt()
    return torch.stack([(found / (trace_1 * trace_2)).sqrt(), z])


n = model.cfg.d_model - model.cfg.normalization_type.startswith("LN")  # dimensions that the weights live in
"""


def scores(job: jobs.HeadScores) -> Code | No:
    match job.on:
        case jobs.Run() as run:
            body, start, on = "", int(run.bos), "the prompt"
        case jobs.Repeats() as repeats:
            room = "(model.cfg.n_ctx - with_bos) // 2"
            length = f"min(50, {room}, len(pool))" if repeats.length is None else str(repeats.length)
            body = f"""special = {{*model.tokenizer.all_special_ids, model.tokenizer.bos_token_id}}
pool = torch.tensor([token for token in range(min(len(model.tokenizer), model.cfg.d_vocab)) if token not in special])
with_bos = {int(repeats.bos)}
length, generator = {length}, torch.Generator().manual_seed({repeats.seed})
drawn = torch.stack([pool[torch.randperm(len(pool), generator=generator)[:length]] for _ in range({repeats.rows})])
first = torch.full(({repeats.rows}, with_bos), model.tokenizer.bos_token_id or 0)
tokens = torch.cat([first, drawn, drawn], 1).to(model.cfg.device)
"""
            start, on = int(repeats.bos), "repeated random tokens"
        case _:
            return No("there is no code over a file of prompts yet: u scores heads on the prompt")
    what = f"scores of all heads on {on}: previous token, duplicate token, induction, first token, entropy"
    tokens = (("tokens", job.on.ids),) if isinstance(job.on, jobs.Run) else ()
    return Code(what, body + _SCORES.format(start=start), tokens, processed=False)


def copying(job: jobs.CopyingScores) -> Code | No:
    sample = ""
    if job.sample is not None:
        drawn = f"generator=torch.Generator().manual_seed({job.seed})"
        sample = f"\nids = torch.randperm(len(ids), {drawn})[: {job.sample}].sort().values"
    return Code("copying scores of all heads: eigenvalues, OV top 1, OV top 5", _COPYING.format(sample=sample),
                processed=job.weights == "processed")  # fmt: skip


def composition(job: jobs.Composition) -> Code | No:
    own, layers = (job.layer, job.head), "range(layer)"
    pair, what = f"(at, {own}, {job.kind!r})", f"who feeds {head_name(*own)}"
    if job.direction == "into":
        layers, pair, what = "range(layer + 1, model.cfg.n_layers)", f"({own}, at, {job.kind!r})", (
            f"whom {head_name(*own)} feeds")  # fmt: skip
    body = _COMPOSITION + f"""layer = {job.layer}
others = [(other, number) for other in {layers} for number in range(model.cfg.n_heads)]
result = torch.stack([composed{pair} for at in others])
"""
    return Code(f"{what} ({job.kind.upper()}): score and z of each head", body)


def circuit_composition(job: jobs.CircuitComposition) -> Code | No:
    if job.edges:
        return No("there is code for a circuit without edges of its own: all edges between its heads")
    heads = [at for part in job.parts if (at := head_at(part)) is not None]
    body = _COMPOSITION + f"""heads = {heads}
edges = [(one, two, side) for two in heads for side in "qkv" for one in heads if one[0] < two[0]]
result = torch.stack([composed(*edge)[1] for edge in edges])
order = result.abs().argsort(descending=True, stable=True)  # the strongest first
edges, result = [edges[at] for at in order], result[order]
"""
    return Code("the circuit's edges: z of composition", body)


def receiver(name: str) -> tuple[str, int, int] | None:
    """``L2H1.q`` → kind, layer and head (−1 for an MLP); None: the logits."""
    at = receiver_at(name)
    assert at is not None
    return None if at.layer is None else (at.kind, at.layer, -1 if at.head is None else at.head)
