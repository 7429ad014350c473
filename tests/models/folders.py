"""Small models written to disk as users have them: random Hugging Face folders, TransformerLens checkpoints.

Weights are drawn large (``initializer_range`` 0.2 and more), so that patterns are far from uniform and an error in a
scale or a convention shows.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor

torch.set_num_threads(1)

WORDS = ("the", "capital", "of", "France", "Paris", "is", "king", "queen", "London", "England", "Mary", "John", "and")
N_CTX = 32


def tokenizer_files(path: Path, words: tuple[str, ...] = WORDS) -> int:
    """A byte-level tokenizer of bytes and `` word``s with ``<|bos|>`` last; its vocabulary's size."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    table = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate([*table, *(f"Ġ{word}" for word in words)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|bos|>", special=True)])
    path.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|bos|>").save_pretrained(path)
    return len(vocab) + 1


def llama_tokenizer() -> Any:
    """As Llama's ``tokenizer.json``: a blank before every text, blanks are ``▁``, bytes stand in for the rest."""
    from tokenizers import Tokenizer, models, normalizers

    bytes_ = (f"<0x{byte:02X}>" for byte in range(256))
    pieces = ["<unk>", *bytes_, *"▁abehimrtw9+.", "▁h", "▁a", "he", "▁he", "▁her", "im"]
    merges = [("▁", "h"), ("▁", "a"), ("h", "e"), ("▁h", "e"), ("▁he", "r"), ("i", "m")]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    fast = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])  # type: ignore[list-item]
    return fast


def hf_folder(path: Path, config_name: str, model_name: str, seed: int = 0, **config: Any) -> Path:
    """A random model of any transformers class, with the tokenizer, in Hugging Face format."""
    import transformers

    vocab_size = tokenizer_files(path)
    torch.manual_seed(seed)
    settings = getattr(transformers, config_name)(**{"vocab_size": vocab_size, **config})
    model = getattr(transformers, model_name)(settings).eval()
    with torch.no_grad():  # norms start at one and biases at zero: make them matter
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif "emb" in name or "wte" in name or "wpe" in name:
                parameter.mul_(2.0)
    model.save_pretrained(path)
    return path


def gpt2_folder(path: Path, **config: Any) -> Path:
    """2 layers × 4 heads, d_model 32, learned positions, context 32."""
    small = {"n_positions": N_CTX, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    return hf_folder(path, "GPT2Config", "GPT2LMHeadModel", **{**small, **config})


_ROTARY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": N_CTX,
    "initializer_range": 0.3,
}


def llama_folder(path: Path, **config: Any) -> Path:
    """2 layers × 4 heads on 2 key/value heads, d_model 32, rotary, RMSNorm, gated MLP."""
    return hf_folder(path, "LlamaConfig", "LlamaForCausalLM", **{**_ROTARY, "num_key_value_heads": 2, **config})


def mistral_folder(path: Path, **config: Any) -> Path:
    """As Llama, with a sliding window of 6 tokens."""
    small = {**_ROTARY, "num_key_value_heads": 2, "sliding_window": 6, "head_dim": 8}
    return hf_folder(path, "MistralConfig", "MistralForCausalLM", **{**small, **config})


def qwen2_folder(path: Path, **config: Any) -> Path:
    """Biases on q, k, v."""
    return hf_folder(path, "Qwen2Config", "Qwen2ForCausalLM", **{**_ROTARY, "num_key_value_heads": 2, **config})


def qwen3_folder(path: Path, **config: Any) -> Path:
    """Query and key norms per head."""
    small = {**_ROTARY, "num_key_value_heads": 2, "head_dim": 8}
    return hf_folder(path, "Qwen3Config", "Qwen3ForCausalLM", **{**small, **config})


def gpt_neo_folder(path: Path, **config: Any) -> Path:
    """Scale 1; the second layer attends to 6 tokens only."""
    small = {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 6,
        "max_position_embeddings": N_CTX,
        "initializer_range": 0.2,
    }
    return hf_folder(path, "GPTNeoConfig", "GPTNeoForCausalLM", **{**small, **config})


def neox_folder(path: Path, **config: Any) -> Path:
    """Pythia's: parallel blocks, a quarter of each head rotated."""
    small = {**_ROTARY, "hidden_size": 64, "rotary_pct": 0.25, "use_parallel_residual": True}
    return hf_folder(path, "GPTNeoXConfig", "GPTNeoXForCausalLM", **{**small, **config})


def gptj_folder(path: Path, **config: Any) -> Path:
    """Parallel blocks with one norm, adjacent pairs, partial rotary, a bias on the output."""
    small = {"n_positions": N_CTX, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "initializer_range": 0.3}
    return hf_folder(path, "GPTJConfig", "GPTJForCausalLM", **{**small, **config})


def gemma2_folder(path: Path, **config: Any) -> Path:
    """Soft caps on scores and logits, norms after the sublayers, a window of 6 in the first layer, scaled embedding."""
    small = {
        **_ROTARY,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 6,
        "attn_logit_softcapping": 3.0,
        "final_logit_softcapping": 5.0,
        "query_pre_attn_scalar": 5,
    }
    return hf_folder(path, "Gemma2Config", "Gemma2ForCausalLM", **{**small, **config})


def gemma3_folder(path: Path, **config: Any) -> Path:
    """Query and key norms, a rotary base for each kind of layer, a window of 6."""
    small = {
        **_ROTARY,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 6,
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 5,
    }
    return hf_folder(path, "Gemma3TextConfig", "Gemma3ForCausalLM", **{**small, **config})


def olmo2_folder(path: Path, **config: Any) -> Path:
    """Norms only after the sublayers; query and key norms over all heads at once."""
    return hf_folder(path, "Olmo2Config", "Olmo2ForCausalLM", **{**_ROTARY, "num_key_value_heads": 4, **config})


def tl_checkpoint(
    path: Path,
    config: dict[str, Any],
    state: dict[str, Tensor],
    form: str = "pt",
    vocabulary: list[str] | None = None,
) -> Path:
    """A TransformerLens checkpoint folder. ``form``: ``pt``, ``pth`` or ``safetensors``."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    if form == "safetensors":
        from safetensors.torch import save_file

        save_file({key: value.contiguous() for key, value in state.items()}, path / "model.safetensors")
    else:
        torch.save(state, path / f"model.{form}")
    if vocabulary is not None:
        (path / "vocab.json").write_text(json.dumps(vocabulary))
    return path


def random_checkpoint(seed: int = 0, **changes: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and state dict of a random HookedTransformer: 2 layers × 4 heads, MLPs, LayerNorm unless changed."""
    config: dict[str, Any] = {
        "n_layers": 2,
        "d_model": 32,
        "n_ctx": N_CTX,
        "d_head": 8,
        "n_heads": 4,
        "d_mlp": 64,
        "d_vocab": 50,
        "act_fn": "gelu_new",
        "attn_only": False,
        "normalization_type": "LN",
        **changes,
    }
    torch.manual_seed(seed)
    d, h, k, v, m = (config[key] for key in ("d_model", "n_heads", "d_head", "d_vocab", "d_mlp"))
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (v, d), "pos_embed.W_pos": (config["n_ctx"], d)}
    if config.get("positional_embedding_type") == "rotary":
        del shapes["pos_embed.W_pos"]
    norms = {"LN": ("w", "b"), "RMS": ("w",)}.get(config["normalization_type"], ())
    for layer in range(config["n_layers"]):
        at = f"blocks.{layer}."
        shapes |= {at + f"attn.W_{side}": (h, d, k) for side in "QKV"} | {at + "attn.W_O": (h, k, d)}
        shapes |= {at + f"attn.b_{side}": (h, k) for side in "QKV"} | {at + "attn.b_O": (d,)}
        shapes |= {at + f"ln1.{part}": (d,) for part in norms}
        if not config["attn_only"]:
            shapes |= {at + f"ln2.{part}": (d,) for part in norms}
            shapes |= {at + "mlp.W_in": (d, m), at + "mlp.b_in": (m,), at + "mlp.W_out": (m, d), at + "mlp.b_out": (d,)}
            if config.get("gated_mlp"):
                shapes[at + "mlp.W_gate"] = (d, m)
            if config["act_fn"] == "solu_ln" and config["normalization_type"] == "LN":
                shapes |= {at + "mlp.ln.w": (m,), at + "mlp.ln.b": (m,)}
    shapes |= {f"ln_final.{part}": (d,) for part in norms}
    out = config.get("d_vocab_out", v)
    shapes |= {"unembed.W_U": (d, out), "unembed.b_U": (out,)}
    state = {key: 0.3 * torch.randn(shape) + (1.0 if key.endswith(".w") else 0.0) for key, shape in shapes.items()}
    for layer in range(config["n_layers"]):
        state[f"blocks.{layer}.attn.mask"] = torch.ones(config["n_ctx"], config["n_ctx"], dtype=torch.bool).tril()
        state[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)
    return config, state


def induction_checkpoint(
    path: Path, n_tokens: int = 16, n_ctx: int = 24, strength: float = 200.0, sign: float = 1.0, form: str = "pt"
) -> Path:
    """The known answer: a hand-built attention-only model of two layers without norms, with one-hot embeddings.

    The stream has four parts: this token, its position, the token before, and the output. L0H0 attends from i to i−1 by
    position and copies that token into the third part. L1H0 matches this token against the token before
    (K-composition) and copies the token that it attends to into the output, which W_U reads: after ``… A B … A`` it
    attends to B and predicts B. Each layer's second head is empty.

    Scores are saturated (``strength``): on distinct repeated tokens both heads score at least 1 − 1e-6. The full OV
    circuit of L1H0 is the identity (with W_U centred over the vocabulary: minus 1/V) times ``sign``, and so is its
    copying score: ``sign`` −1 negates its W_O.
    """
    d_head = max(n_tokens, n_ctx)
    d_model = 3 * n_tokens + n_ctx
    token, position = slice(0, n_tokens), slice(n_tokens, n_tokens + n_ctx)
    previous, output = slice(n_tokens + n_ctx, d_model - n_tokens), slice(d_model - n_tokens, d_model)
    eye_t, eye_p = torch.eye(n_tokens), torch.eye(n_ctx)
    scale = d_head**0.5
    state: dict[str, Tensor] = {
        "embed.W_E": torch.zeros(n_tokens, d_model),
        "pos_embed.W_pos": torch.zeros(n_ctx, d_model),
        "unembed.W_U": torch.zeros(d_model, n_tokens),
        "unembed.b_U": torch.zeros(n_tokens),
    }
    state["embed.W_E"][:, token] = eye_t
    state["pos_embed.W_pos"][:, position] = eye_p
    state["unembed.W_U"][output] = eye_t
    for layer in range(2):
        at = f"blocks.{layer}.attn."
        state |= {at + f"W_{side}": torch.zeros(2, d_model, d_head) for side in "QKV"}
        state |= {at + "W_O": torch.zeros(2, d_head, d_model), at + "b_O": torch.zeros(d_model)}
        state |= {at + f"b_{side}": torch.zeros(2, d_head) for side in "QKV"}
    first, second = "blocks.0.attn.", "blocks.1.attn."
    # L0H0: the query at position i is the unit vector of i − 1, the key at j that of j.
    state[first + "W_Q"][0, position, :n_ctx] = strength * scale * torch.diag(torch.ones(n_ctx - 1), diagonal=-1)
    state[first + "W_K"][0, position, :n_ctx] = eye_p
    state[first + "W_V"][0, token, :n_tokens] = eye_t
    state[first + "W_O"][0, :n_tokens, previous] = eye_t
    # L1H0: the query is this token, the key the token before.
    state[second + "W_Q"][0, token, :n_tokens] = strength * scale * eye_t
    state[second + "W_K"][0, previous, :n_tokens] = eye_t
    # Position 0 has nothing before it, so L0H0 copies its own token there: that key must not match.
    state[second + "W_K"][0, n_tokens, :n_tokens] = -1.0
    state[second + "W_V"][0, token, :n_tokens] = eye_t
    state[second + "W_O"][0, :n_tokens, output] = sign * eye_t
    config = {
        "n_layers": 2,
        "d_model": d_model,
        "n_ctx": n_ctx,
        "d_head": d_head,
        "n_heads": 2,
        "d_vocab": n_tokens,
        "act_fn": None,
        "attn_only": True,
        "normalization_type": None,
    }
    return tl_checkpoint(path, config, state, form, [chr(ord("a") + i) for i in range(n_tokens)])
