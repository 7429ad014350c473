"""Measure the embedded demo model on held-out samples: `python assets/demo/evaluate.py [--check]`.

Plain float32 tensors, no interpretability library. Weights are *processed* for the circuits (LayerNorm folded into the
reading weights, writing weights centred over d_model, `W_U` centred over d_model and over the vocabulary); the forward
pass uses the weights as stored. Row vectors: `QK = W_E W_Q W_Kᵀ W_Eᵀ`, `OV = W_E W_V W_O W_U`, without biases.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import corpus  # noqa: E402

TOLERANCE = 0.02
# the measured table in the model card
TABLE = re.compile(r"\| figure \| bar \|.*?(?=\n\n)", re.S)


class Demo:
    """The model as float32 tensors. `W_Q W_K W_V` of a head are [d_model, d_head], `W_O` [d_head, d_model]."""

    def __init__(self, folder: Path = HERE) -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        self.cfg = json.loads((folder / "config.json").read_text())
        self.w = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
        self.n_layer, self.n_head, self.d = (self.cfg[k] for k in ("n_layer", "n_head", "n_embd"))
        self.d_head, self.n_ctx, self.vocab = self.d // self.n_head, self.cfg["n_positions"], self.cfg["vocab_size"]
        self.bos = self.cfg["bos_token_id"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def id(self, word: str) -> int:
        """The single token of a word with its leading space."""
        return self.tokenizer.token_to_id("Ġ" + word)

    def ids(self, words: Iterable[str]) -> Tensor:
        """Ids of several words."""
        return torch.tensor([self.id(w) for w in words])

    def encode(self, text: str) -> list[int]:
        """BOS and the tokens of a text."""
        return [self.bos, *self.tokenizer.encode(text).ids]

    def layer(self, i: int, name: str) -> Tensor:
        """A stored tensor of layer `i`."""
        return self.w[f"transformer.h.{i}.{name}"]

    def norm(self, x: Tensor, prefix: str) -> Tensor:
        """LayerNorm with its own weight and bias."""
        return F.layer_norm(x, (self.d,), self.w[prefix + ".weight"], self.w[prefix + ".bias"], 1e-5)

    @torch.no_grad()
    def forward(
        self, ids: Tensor, patterns: bool = False, zero: tuple[int, int] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits [row, pos, vocabulary] and, on request, patterns per layer [row, head, query, key].

        `zero` is a head (layer, head) whose z is set to 0, its value bias included.
        """
        b, t = ids.shape
        x = self.w["transformer.wte.weight"][ids] + self.w["transformer.wpe.weight"][:t]
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        kept: list[Tensor] = []
        for i in range(self.n_layer):
            p = f"transformer.h.{i}."
            y = self.norm(x, p + "ln_1") @ self.layer(i, "attn.c_attn.weight") + self.layer(i, "attn.c_attn.bias")
            q, k, v = (a.view(b, t, self.n_head, -1).transpose(1, 2) for a in y.split(self.d, dim=2))
            scores = (q @ k.transpose(2, 3) / self.d_head**0.5).masked_fill(mask, -torch.inf)
            pattern = scores.softmax(-1)
            z = pattern @ v
            if zero is not None and zero[0] == i:
                z[:, zero[1]] = 0
            if patterns:
                kept.append(pattern)
            z = z.transpose(1, 2).reshape(b, t, self.d)
            x = x + z @ self.layer(i, "attn.c_proj.weight") + self.layer(i, "attn.c_proj.bias")
            y = self.norm(x, p + "ln_2") @ self.layer(i, "mlp.c_fc.weight") + self.layer(i, "mlp.c_fc.bias")
            y = F.gelu(y, approximate="tanh")
            x = x + y @ self.layer(i, "mlp.c_proj.weight") + self.layer(i, "mlp.c_proj.bias")
        return self.norm(x, "transformer.ln_f") @ self.w["lm_head.weight"].T, kept

    def embed(self) -> Tensor:
        """`W_E` centred over d_model, [vocabulary, d_model]."""
        e = self.w["transformer.wte.weight"]
        return e - e.mean(1, keepdim=True)

    def unembed(self) -> Tensor:
        """`W_U` with `ln_f` folded, centred over d_model and over the vocabulary, [d_model, vocabulary]."""
        u = self.w["transformer.ln_f.weight"][:, None] * self.w["lm_head.weight"].T
        u = u - u.mean(0, keepdim=True)
        return u - u.mean(1, keepdim=True)

    def head(self, i: int, h: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Folded `W_Q W_K W_V` [d_model, d_head] and `W_O` [d_head, d_model] of head `LiHh`."""
        gain = self.layer(i, "ln_1.weight")[:, None]
        read = gain * self.layer(i, "attn.c_attn.weight")
        read = (read - read.mean(0, keepdim=True)).view(self.d, 3, self.n_head, self.d_head)
        write = self.layer(i, "attn.c_proj.weight").view(self.n_head, self.d_head, self.d)[h]
        return read[:, 0, h], read[:, 1, h], read[:, 2, h], write - write.mean(1, keepdim=True)

    def heads(self) -> list[tuple[int, int]]:
        """All heads, in order."""
        return [(i, h) for i in range(self.n_layer) for h in range(self.n_head)]


def name_of(head: tuple[int, int]) -> str:
    """`L1H3`."""
    return f"L{head[0]}H{head[1]}"


def best(scores: dict[tuple[int, int], float]) -> tuple[float, str]:
    """The largest score and its head."""
    head = max(scores, key=scores.__getitem__)
    return scores[head], name_of(head)


def repeats(model: Demo, length: int, rows: int = 64, seed: int = 5) -> Tensor:
    """BOS, `length` random tokens without replacement (no special one), the same again."""
    rng = random.Random(seed + length)
    samples = [rng.sample(range(1, model.vocab), length) for _ in range(rows)]
    return torch.tensor([[model.bos, *s, *s] for s in samples])


def head_scores(model: Demo, length: int) -> dict[str, dict[tuple[int, int], float]]:
    """Induction, previous-token and duplicate-token scores of every head, and the accuracy on the second copy."""
    ids = repeats(model, length)
    logits, patterns = model.forward(ids, patterns=True)
    second = torch.arange(length) + 1 + length
    out: dict[str, dict[tuple[int, int], float]] = {"induction": {}, "previous": {}, "duplicate": {}}
    dst = torch.arange(2, 2 * length + 1)
    for i, h in model.heads():
        p = patterns[i][:, h]
        out["induction"][i, h] = p[:, second, second - length + 1].mean().item()
        out["duplicate"][i, h] = p[:, second, second - length].mean().item()
        out["previous"][i, h] = p[:, dst, dst - 1].mean().item()
    # the first token of the second copy cannot be known; every later one can
    hit = logits[:, second[:-1]].argmax(-1) == ids[:, second[1:]]
    out["accuracy"] = {(0, 0): hit.float().mean().item()}
    return out


def answers(model: Demo, prompts: list[str], zero: tuple[int, int] | None = None) -> Tensor:
    """Logits at the last token of each prompt, [prompt, vocabulary]; shorter prompts are padded on the right."""
    rows = [model.encode(p) for p in prompts]
    width = max(map(len, rows))
    ids = torch.tensor([r + [model.bos] * (width - len(r)) for r in rows])
    last = torch.tensor([len(r) - 1 for r in rows])
    return model.forward(ids, zero=zero)[0][torch.arange(len(rows)), last]


def accuracy(model: Demo, sentences: list[corpus.Sentence]) -> float:
    """Share of sentences whose answer is the model's most likely next token."""
    logits = answers(model, [s.prompt() for s in sentences])
    want = torch.tensor([model.id(s.tokens[s.answer].strip()) for s in sentences if s.answer is not None])
    return (logits.argmax(-1) == want).float().mean().item()


def capital_sentences(templates: list[str], answer: str) -> list[corpus.Sentence]:
    """Every country in every template."""
    return [corpus.fill(t, answer, c=c, k=k) for t in templates for c, k in corpus.CAPITALS.items()]


def pair_sentences(pairs: Iterable[tuple[str, str]], templates: list[str]) -> list[corpus.Sentence]:
    """Every pair in every template."""
    return [corpus.fill(t, "b", a=a, b=b) for t in templates for a, b in pairs]


def indirect_objects(
    model: Demo, count: int = 400, seed: int = 11
) -> tuple[float, float, dict[tuple[int, int], float]]:
    """On unseen name pairs: accuracy, mean logit difference, and what zeroing each head costs of it.

    Accuracy is the share of sentences whose most likely next token is the indirect object.
    """
    rng = random.Random(seed)
    sentences = [corpus.indirect_object(rng, heldout=True) for _ in range(count)]
    prompts = [s.prompt() for s in sentences]
    want = torch.tensor([model.id(s.tokens[s.answer].strip()) for s in sentences if s.answer is not None])
    subject = []
    for s in sentences:
        names = [t.strip() for t in s.tokens if t.strip() in _NAMES]
        subject.append(model.id(next(n for n in names if n != names[-1])))
    other, row = torch.tensor(subject), torch.arange(count)

    def difference(logits: Tensor) -> float:
        return (logits[row, want] - logits[row, other]).mean().item()

    logits = answers(model, prompts)
    full = difference(logits)
    cost = {head: full - difference(answers(model, prompts, zero=head)) for head in model.heads()}
    return (logits.argmax(-1) == want).float().mean().item(), full, cost


_NAMES = set(corpus.NAMES)


def ov_ranks(model: Demo, head: tuple[int, int], pairs: list[tuple[str, str]]) -> Tensor:
    """Rank (0 = largest) of the partner in the word's row of the full OV circuit over the whole vocabulary, [pair]."""
    _, _, w_v, w_o = model.head(*head)
    rows = model.embed()[model.ids(a for a, _ in pairs)] @ w_v @ w_o @ model.unembed()
    target = rows.gather(1, model.ids(b for _, b in pairs)[:, None])
    return (rows > target).sum(1)


def qk_ranks(model: Demo, head: tuple[int, int], pairs: list[tuple[str, str]]) -> Tensor:
    """Rank of the partner in the word's row of the QK circuit over the vocabulary, the own token left out, [pair]."""
    w_q, w_k, _, _ = model.head(*head)
    e, source = model.embed(), model.ids(a for a, _ in pairs)
    rows = e[source] @ w_q @ (e @ w_k).T
    target = rows.gather(1, model.ids(b for _, b in pairs)[:, None])
    if all(a != b for a, b in pairs):
        rows[torch.arange(len(pairs)), source] = -math.inf
    return (rows > target).sum(1)


def list_accuracy(model: Demo, count: int = 100, seed: int = 3) -> float:
    """`List: France uncle Rome. Paris` → ` 1`: share of right numbers over random lists."""
    rng, hits, total = random.Random(seed), 0, 0
    ids = {t.replace("Ġ", " "): i for t, i in model.tokenizer.get_vocab().items()}
    for _ in range(count):
        tokens, weights = corpus.partner_list(rng, model.n_ctx)
        row = [model.bos, *(ids[t] for t in tokens)]
        guess = model.forward(torch.tensor([row]))[0][0].argmax(-1).tolist()
        slots = [i for i, w in enumerate(weights) if w == 1.0]
        hits += sum(guess[i] == row[i + 1] for i in slots)
        total += len(slots)
    return hits / total


def measure(model: Demo) -> dict[str, dict[str, object]]:
    """Every figure: value, bar, met, and the head where one is named."""
    out: dict[str, dict[str, object]] = {}

    def put(figure: str, value: float, bar: float | None, head: str = "") -> None:
        out[figure] = {"value": round(value, 4), "bar": bar, "met": bar is None or value >= bar, "head": head}

    scores = {n: head_scores(model, n) for n in (8, 15, 31)}
    for n in (8, 15, 31):
        put(f"induction score, best head, {n}", *_with_bar(best(scores[n]["induction"]), 0.90))
    for n in (8, 15, 31):
        put(f"previous-token score, best head, {n}", *_with_bar(best(scores[n]["previous"]), 0.90 if n < 31 else None))
    put("duplicate-token score, best head, 15", *_with_bar(best(scores[15]["duplicate"]), None))
    put("second copy of random repeats (31), accuracy", scores[31]["accuracy"][0, 0], 0.95)

    right, full, cost = indirect_objects(model)
    put("indirect object, unseen name pairs, accuracy", right, 0.98)
    put("indirect object, mean logit difference", full, None)
    put("indirect object, cost of zeroing the best head", *_with_bar(best(cost), 1.0))

    put("capitals, canonical", accuracy(model, capital_sentences([corpus.CANONICAL], "k")), 0.98)
    put("capitals, unseen paraphrases", accuracy(model, capital_sentences(corpus.CAPITAL_HELDOUT, "k")), 0.93)
    put("capitals, paraphrases written afterwards", accuracy(model, capital_sentences(corpus.CAPITAL_BLIND, "k")), None)
    put("capital → country, unseen paraphrases", accuracy(model, capital_sentences(corpus.COUNTRY_HELDOUT, "c")), None)
    gender, opposites = corpus.pair_table(corpus.GENDER), corpus.pair_table(corpus.OPPOSITES)
    put("gender pairs, trained templates", accuracy(model, pair_sentences(gender, corpus.GENDER_TRAIN)), None)
    put("opposites, trained templates", accuracy(model, pair_sentences(opposites, corpus.OPPOSITE_TRAIN)), None)
    put("partner's number in a list", list_accuracy(model), None)

    capitals = list(corpus.CAPITALS.items())
    back = [(k, c) for c, k in capitals]
    for title, pairs, bars in (
        ("country → capital", capitals, (0.80, 0.90)),
        ("capital → country", back, (0.80, None)),
        ("gender pairs", gender, (0.80, None)),
        ("opposites", opposites, (0.80, None)),
    ):
        ranks = {head: ov_ranks(model, head, pairs) for head in model.heads()}
        # both figures are read off one head: the one with the best top 1, then top 5
        head = max(ranks, key=lambda h: ((ranks[h] < 1).sum().item(), (ranks[h] < 5).sum().item()))
        for k, bar in ((1, bars[0]), (5, bars[1])):
            put(f"full OV, {title}, top {k}", (ranks[head] < k).float().mean().item(), bar, name_of(head))

    names = [(n, n) for n in corpus.NAMES]
    identity = {h: (qk_ranks(model, h, names) < 1).float().mean().item() for h in model.heads()}
    put("QK, a name's row has itself as largest entry", *_with_bar(best(identity), 0.95))
    partners = capitals + back + gender
    ranks = {head: qk_ranks(model, head, partners) for head in model.heads()}
    head = max(ranks, key=lambda h: ((ranks[h] < 5).sum().item(), (ranks[h] < 1).sum().item()))
    put("QK, the partner in the row's top 5", (ranks[head] < 5).float().mean().item(), 0.60, name_of(head))
    put("QK, the partner in the row's top 1", (ranks[head] < 1).float().mean().item(), None, name_of(head))
    return out


def _with_bar(found: tuple[float, str], bar: float | None) -> tuple[float, float | None, str]:
    return found[0], bar, found[1]


def table(figures: dict[str, dict[str, object]]) -> str:
    """Figure, bar, measured, met."""
    width = max(map(len, figures))
    lines = [f"{'figure':{width}}  {'bar':>5}  {'measured':>8}  met  head"]
    for name, row in figures.items():
        bar = "" if row["bar"] is None else f"{row['bar']:.2f}"
        met = "" if row["bar"] is None else "yes" if row["met"] else "NO"
        lines.append(f"{name:{width}}  {bar:>5}  {row['value']:8.3f}  {met:3}  {row['head']}")
    return "\n".join(lines)


def markdown(figures: dict[str, dict[str, object]]) -> str:
    """The table of the model card."""
    lines = ["| figure | bar | measured | met | head |", "| --- | --- | --- | --- | --- |"]
    for name, row in figures.items():
        bar = "" if row["bar"] is None else f"≥ {row['bar']:.2f}"
        met = "" if row["bar"] is None else "yes" if row["met"] else "**no**"
        lines.append(f"| {name} | {bar} | {row['value']:.3f} | {met} | {row['head']} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE, help="model folder (default: beside this file)")
    parser.add_argument(
        "--check", action="store_true",
        help=f"exit 1 if a figure is more than {TOLERANCE} below evaluation.json; writes nothing",
    )  # fmt: skip
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    start = time.time()
    figures = measure(Demo(args.model))
    print(table(figures))
    bars = [r for r in figures.values() if r["bar"] is not None]
    print(f"{sum(bool(r['met']) for r in bars)} of {len(bars)} bars met, {time.time() - start:.0f} s")
    recorded = args.model / "evaluation.json"
    if not args.check:
        recorded.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
        card = args.model / "README.md"
        if card.is_file() and TABLE.search(card.read_text()):
            # a function as replacement: the table is text, not a pattern
            card.write_text(TABLE.sub(lambda _: markdown(figures), card.read_text(), count=1))
        return 0
    old = json.loads(recorded.read_text())
    worse = [n for n, r in old.items() if n not in figures or figures[n]["value"] < r["value"] - TOLERANCE]
    for name in worse:
        print(f"below evaluation.json: {name}: {figures.get(name, {}).get('value')} < {old[name]['value']}")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
