"""Train the embedded demo model: GPT-2 architecture, synthetic corpus, seeded, one CPU core.

    python assets/demo/train.py                 # the shipped recipe, writes beside this file
    python assets/demo/train.py --out /tmp/x --set steps=800

The network is written out here (about 60 lines) instead of calling transformers, because training drops whole MLP
outputs and whole heads row by row and skips the arithmetic of what it drops. The weights are saved under the names and
shapes of `GPT2LMHeadModel`, and `config.json` says `"model_type": "gpt2"`: every loader takes the path of `gpt2`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import corpus  # noqa: E402


@dataclass
class Recipe:
    """Everything that decides the result; overridable by `--set name=value`."""

    seed: int = 0
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    n_inner: int = 256
    n_ctx: int = 64
    rows: int = 48
    steps: int = 2500
    # rows grow: matching and induction are found sooner among few tokens. Positions beyond the last length would stay
    # untrained, so n_ctx is it. Each stage is (row length, share of the steps at which it ends)
    stages: tuple[tuple[int, float], ...] = ((16, 0.07), (32, 0.3), (64, 1.0))
    lr_muon: float = 0.02
    lr_adam: float = 3e-3
    lr_pos: float = 1e-3
    wd_muon: float = 0.02
    wd_embed: float = 0.0
    warmup: int = 50
    cooldown: float = 0.4
    # share of rows, by kind, whose MLP outputs are all dropped: facts have to sit in OV, not in neurons
    drop_mlp: float = 0.6
    drop_mlp_list: float = 0.8
    drop_mlp_other: float = 0.3
    # probability, by kind, that a head is dropped for a row: no head can leave a part of the map to its neighbours
    drop_head: float = 0.25
    drop_head_list: float = 0.15
    drop_head_other: float = 0.0
    sin_pos: float = 0.15
    match_heads: int = 2
    match: float = 0.8
    pos_std: float = 0.02
    emb_std: float = 0.15
    mix: dict[str, float] = field(
        default_factory=lambda: {
            "repeat": 0.32, "ioi": 0.20, "capital": 0.06, "country": 0.04, "gender": 0.04, "opposite": 0.03,
            "mixed": 0.02, "calendar": 0.01, "list": 0.22, "echo": 0.05, "story": 0.01,
        }
    )  # fmt: skip


class Block(nn.Module):
    """One GPT-2 block; per-head weights are views of square matrices."""

    def __init__(self, r: Recipe) -> None:
        super().__init__()
        d = r.n_embd
        self.n_head = r.n_head
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        for name in ("q", "k", "v", "o"):
            setattr(self, f"w_{name}", nn.Parameter(torch.randn(d, d) * d**-0.5 * (0.5 if name == "o" else 1.0)))
            setattr(self, f"b_{name}", nn.Parameter(torch.zeros(d)))
        if r.match_heads:
            # half of the heads start by looking for tokens like their own: matching is what every task here builds on
            n = r.match_heads * d // r.n_head
            self.w_k.data[:, :n] = r.match * self.w_q.data[:, :n]
            self.w_q.data[:, :n] *= r.match
        self.w_in = nn.Parameter(torch.randn(d, r.n_inner) * d**-0.5)
        self.b_in = nn.Parameter(torch.zeros(r.n_inner))
        self.w_out = nn.Parameter(torch.randn(r.n_inner, d) * r.n_inner**-0.5 * 0.5)
        self.b_out = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor, heads: Tensor, n_mlp: int) -> Tensor:
        """`x` [row, pos, d_model]; `heads` [row, n_head, 1, 1] keeps or drops; the first `n_mlp` rows use the MLP."""
        b, t, d = x.shape
        y = self.ln_1(x)
        q, k, v = (
            torch.addmm(bias, y.view(-1, d), w).view(b, t, self.n_head, -1).transpose(1, 2)
            for w, bias in ((self.w_q, self.b_q), (self.w_k, self.b_k), (self.w_v, self.b_v))
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True) * heads
        x = x + z.transpose(1, 2).reshape(b, t, d) @ self.w_o + self.b_o
        if n_mlp:
            y = self.ln_2(x[:n_mlp])
            y = F.gelu(y @ self.w_in + self.b_in, approximate="tanh") @ self.w_out + self.b_out
            x = torch.cat((x[:n_mlp] + y, x[n_mlp:]))
        return x


class Net(nn.Module):
    """GPT-2 with untied embeddings."""

    def __init__(self, r: Recipe, vocab: int) -> None:
        super().__init__()
        self.wte = nn.Parameter(torch.randn(vocab, r.n_embd) * r.emb_std)
        self.wpe = nn.Parameter(sinusoids(r) if r.sin_pos else torch.randn(r.n_ctx, r.n_embd) * r.pos_std)
        self.blocks = nn.ModuleList(Block(r) for _ in range(r.n_layer))
        self.ln_f = nn.LayerNorm(r.n_embd)
        # untied, but started as the embedding: copying is then one matrix away, which brings induction early
        self.head = nn.Parameter(self.wte.detach() * 0.5)

    def forward(self, ids: Tensor, heads: Tensor, n_mlp: int) -> Tensor:
        """Final stream after `ln_f`, [row, pos, d_model]; `heads` [row, layer, head]."""
        x = self.wte[ids] + self.wpe[: ids.shape[1]]
        for layer, block in enumerate(self.blocks):
            x = block(x, heads[:, layer, :, None, None], n_mlp)
        return self.ln_f(x)


def sinusoids(r: Recipe) -> Tensor:
    """Sinusoidal start of the learned positions, [n_ctx, d_model]."""
    pos, half = torch.arange(r.n_ctx)[:, None], r.n_embd // 2
    angle = pos / 200 ** (torch.arange(half) / half)
    return r.sin_pos * torch.cat((angle.sin(), angle.cos()), dim=1)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024): momentum orthogonalised by five Newton-Schulz steps, float32 (bf16 is slow here)."""

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix."""
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(buffer, group["momentum"])
                wide = g.shape[0] <= g.shape[1]
                x = g if wide else g.T
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(x if wide else x.T, alpha=-group["lr"] * max(1.0, p.shape[1] / p.shape[0]) ** 0.5)


def drops(r: Recipe, kinds: list[str], gen: torch.Generator) -> tuple[Tensor, Tensor]:
    """Per row: MLPs kept [row], heads kept [row, layer, head]; nothing is rescaled, a dropped head is absent."""
    facts = {"capital", "country", "gender", "opposite", "mixed", "calendar"}

    def rate(kind: str, name: str) -> float:
        suffix = "" if kind in facts else "_list" if kind == "list" else "_other"
        return getattr(r, name + suffix)

    p_mlp = torch.tensor([rate(k, "drop_mlp") for k in kinds])
    p_head = torch.tensor([rate(k, "drop_head") for k in kinds])
    mlp = torch.rand(len(kinds), generator=gen) >= p_mlp
    heads = torch.rand(len(kinds), r.n_layer, r.n_head, generator=gen) >= p_head[:, None, None]
    return mlp, heads.float()


def train(r: Recipe, vocab: dict[str, int], snapshots: Path | None = None) -> Net:
    """Run the recipe; `snapshots` is a folder that gets the weights every 500 steps, to watch a run."""
    torch.set_num_threads(1)
    torch.manual_seed(r.seed)
    gen = torch.Generator().manual_seed(r.seed + 1)
    rows = corpus.Rows(vocab, r.mix, r.seed + 2)
    net = Net(r, len(vocab))
    matrices = [p for n, p in net.blocks.named_parameters() if p.dim() == 2]
    rest = [p for n, p in net.named_parameters() if p.dim() == 1]
    muon = Muon(matrices, r.lr_muon, weight_decay=r.wd_muon)
    adam = torch.optim.AdamW(
        [
            {"params": [net.wte, net.head], "lr": r.lr_adam, "weight_decay": r.wd_embed},
            {"params": [net.wpe], "lr": r.lr_pos, "weight_decay": 0.0},
            {"params": rest, "lr": r.lr_adam, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
    base = [(g, g["lr"]) for o in (muon, adam) for g in o.param_groups]
    start, seen = time.time(), {}
    for step in range(r.steps):
        length = next(n for n, end in r.stages if step < end * r.steps)
        size = r.rows * r.n_ctx // length
        left = (r.steps - step) / r.steps
        scale = min(1.0, (step + 1) / r.warmup, left / r.cooldown)
        for group, lr in base:
            group["lr"] = lr * scale
        ids_l, weights_l, kinds = rows.batch(size, length)
        mlp, heads = drops(r, kinds, gen)
        # rows that keep their MLPs come first, so that the others cost nothing there
        order = torch.argsort(~mlp, stable=True)
        ids, weights, heads = torch.tensor(ids_l)[order], torch.tensor(weights_l)[order], heads[order]
        x = net(ids[:, :-1], heads, int(mlp.sum()))
        target, weight = ids[:, 1:], weights[:, 1:]
        # a quarter of the low-weight slots at four times the weight: the same gradient on average, a third of the work
        lottery = torch.rand(weight.shape, generator=gen) < 0.25
        active = (weight >= corpus.REPEAT) | ((weight > 0) & lottery)
        w = weight[active]
        w = torch.where(w < corpus.REPEAT, 4 * w, w)
        loss_t = F.cross_entropy(x[active] @ net.head.T, target[active], reduction="none")
        loss = (loss_t * w).sum() / w.sum()
        loss.backward()
        nn.utils.clip_grad_norm_([*rest, net.wte, net.wpe, net.head], 1.0)
        muon.step()
        adam.step()
        net.zero_grad(set_to_none=True)
        rows_at = active.nonzero()[:, 0]
        for i, kind in enumerate([kinds[j] for j in order.tolist()]):
            sel = (rows_at == i) & (weight[active] >= corpus.REPEAT)
            if sel.any():
                seen.setdefault(kind, []).append(loss_t[sel].mean().item())
        if (step + 1) % 100 == 0 or step + 1 == r.steps:
            parts = " ".join(f"{k} {sum(v) / len(v):.2f}" for k, v in sorted(seen.items()))
            print(f"{step + 1:5d} {time.time() - start:6.0f}s loss {loss.item():.3f} | {parts}", flush=True)
            seen = {}
        if snapshots and (step + 1) % 500 == 0:
            save(net, r, vocab, snapshots)
    return net


def state_dict(net: Net) -> dict[str, Tensor]:
    """The weights under `GPT2LMHeadModel`'s names (Conv1D: input first)."""
    out = {"transformer.wte.weight": net.wte, "transformer.wpe.weight": net.wpe, "lm_head.weight": net.head}
    out |= {f"transformer.ln_f.{n}": p for n, p in net.ln_f.named_parameters()}
    for i, b in enumerate(net.blocks):
        p = f"transformer.h.{i}."
        out |= {f"{p}{ln}.{n}": t for ln in ("ln_1", "ln_2") for n, t in getattr(b, ln).named_parameters()}
        out[p + "attn.c_attn.weight"] = torch.cat((b.w_q, b.w_k, b.w_v), dim=1)
        out[p + "attn.c_attn.bias"] = torch.cat((b.b_q, b.b_k, b.b_v))
        out |= {p + "attn.c_proj.weight": b.w_o, p + "attn.c_proj.bias": b.b_o}
        out |= {p + "mlp.c_fc.weight": b.w_in, p + "mlp.c_fc.bias": b.b_in}
        out |= {p + "mlp.c_proj.weight": b.w_out, p + "mlp.c_proj.bias": b.b_out}
    return {k: v.detach().clone().contiguous() for k, v in out.items()}


def config(r: Recipe, vocab: dict[str, int]) -> dict[str, object]:
    """`config.json`."""
    bos = vocab[corpus.BOS]
    return {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": len(vocab), "n_positions": r.n_ctx,
        "n_embd": r.n_embd, "n_layer": r.n_layer, "n_head": r.n_head, "n_inner": r.n_inner,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
        "attn_pdrop": 0.0, "scale_attn_weights": True, "tie_word_embeddings": False, "bos_token_id": bos,
        "eos_token_id": bos, "dtype": "float32",
    }  # fmt: skip


def write_tokenizer(folder: Path, vocab: dict[str, int], n_ctx: int) -> None:
    """`tokenizer.json` and `tokenizer_config.json`.

    Byte-level BPE without merges: `ignore_merges` takes a word that is in the vocabulary whole, and every other text
    falls apart into bytes, so nothing is ever unknown. `add_prefix_space` makes the first word an ordinary word token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    words = {t: i for t, i in vocab.items() if t != corpus.BOS}
    tokenizer = Tokenizer(models.BPE(vocab={corpus.BOS: vocab[corpus.BOS], **words}, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(corpus.BOS, special=True, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": corpus.BOS, "eos_token": corpus.BOS,
        "add_prefix_space": True, "clean_up_tokenization_spaces": False, "model_max_length": n_ctx,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def save(net: Net, r: Recipe, vocab: dict[str, int], folder: Path) -> None:
    """Write the model folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(state_dict(net), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config(r, vocab), indent=2) + "\n")
    write_tokenizer(folder, vocab, r.n_ctx)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write (default: beside this file)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a field of the recipe")
    parser.add_argument("--snapshots", type=Path, help="folder for the weights so far, every 500 steps")
    args = parser.parse_args(argv)
    recipe = Recipe()
    known = {f.name for f in fields(Recipe)}
    for item in args.set:
        name, _, value = item.partition("=")
        if name == "stages":
            pairs = (stage.split(":") for stage in value.split(","))
            recipe.stages = tuple((int(n), float(end)) for n, end in pairs)
        elif name.startswith("mix."):
            recipe.mix[name[4:]] = float(value)
        elif name in known:
            setattr(recipe, name, type(getattr(recipe, name))(float(value)))
        else:
            parser.error(f"no such field: {name}")
    vocab = corpus.vocabulary()
    print(json.dumps(asdict(recipe)), f"vocabulary {len(vocab)}", flush=True)
    start = time.time()
    net = train(recipe, vocab, args.snapshots)
    parameters = sum(math.prod(p.shape) for p in net.parameters())
    save(net, recipe, vocab, args.out)
    print(f"{parameters} parameters, {time.time() - start:.0f} s, written to {args.out}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
