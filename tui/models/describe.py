"""The config that a file's weights imply, from their names and shapes alone, with what those do not say marked.

TransformerLens' names (HookedTransformer), and GPT-2's and Llama's of transformers. What is marked stands as the value
that most such models have; a key ``?`` of the result lists what is to be looked at, and the app ignores it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import ModelError
from .files import Shapes, safetensors_header
from .formats import is_pointer, pointed, refuse_gguf
from .steps import is_beside

MARK = "?"
"""Where the result says what is not known of it."""
PROGRAM = "circuit-tui describe"
WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")
FORMS = ".safetensors, .pt, .pth or .bin"
_LAYER = re.compile(r"(?:^|\.)(?:blocks|h|layers)\.(\d+)\.")
_HEADS = "the number of heads: the shapes say only heads × size of a head; it is at most {} and divides it"
_KNOWN = (
    "Names of HookedTransformer (embed.W_E), GPT-2 (wte.weight) and Llama (embed_tokens.weight) are understood. "
    "If it is another architecture: download its config.json from where the weights came from."
)


def read_shapes_of(file: Path) -> Shapes:
    """Name → shape of every tensor in one file of weights, without the prefixes of training wrappers. ModelError."""
    from torch import Tensor, empty

    from .pickled import STATES, read_pickle
    from .state import unwrapped

    _expect_weights(file)
    if file.suffix == ".safetensors":
        found = safetensors_header(file)
    else:
        held = read_pickle(file)
        inner = (held[key] for key in STATES if isinstance(held, Mapping) and isinstance(held.get(key), Mapping))
        state = next(inner, held)
        tensors = state.items() if isinstance(state, Mapping) else ()
        found = {str(key): tuple(value.shape) for key, value in tensors if isinstance(value, Tensor)}
    # Only names are looked at there: tensors without memory stand in for what they have.
    bare = {key: empty(shape, device="meta") for key, shape in found.items()}
    return {key: tuple(value.shape) for key, value in unwrapped(bare)[0].items()}


def _expect_weights(file: Path) -> None:
    """ModelError for what is no file of weights, with one that is where there is one."""
    if file.is_dir():
        inside = sorted(path for path in file.iterdir() if path.suffix in WEIGHTS and not is_beside(path))
        if not inside:
            refuse_gguf(file)
        give = f"Give one of its files of weights: {PROGRAM} {inside[0]}" if inside else f"It holds no {FORMS}."
        raise ModelError(f"{file} is a folder.", give)
    if not file.is_file():
        raise ModelError(f"There is no file {file}.", f"Give a file of weights: {FORMS}.")
    refuse_gguf(file)
    if is_pointer(file):
        raise pointed([file], file.parent)
    if file.suffix not in WEIGHTS:
        raise ModelError(f"{file} is no file of weights.", f"Give one that is: {FORMS}.")


def describe(shapes: Shapes) -> dict[str, object]:
    """The config for weights of these names and shapes. ModelError for names of no architecture known here."""
    names = {key.removeprefix("transformer."): shape for key, shape in shapes.items()}
    if "embed.W_E" in names:
        return _hooked(names)
    if "wte.weight" in names:
        return _gpt2(names)
    if "embed_tokens.weight" in names:
        return _llama(names)
    some = ", ".join(sorted(shapes)[:3])
    raise ModelError(f"These weights are of no architecture that can be described: {some or 'there are none'}.", _KNOWN)


def n_layers(names: Iterable[str]) -> int:
    """How many layers the names count. ModelError where one between is missing."""
    there = {int(match[1]) for name in names if (match := _LAYER.search(name))}
    if there != set(range(len(there))):
        lost = min(set(range(max(there))) - there)
        raise ModelError(f"The weights of layer {lost} are not in this file.", "Give the file that holds all layers.")
    return len(there)


def _hooked(names: Shapes) -> dict[str, object]:
    layers = n_layers(names)
    d_vocab, d_model = names["embed.W_E"]
    doubts: dict[str, str] = {}
    config: dict[str, object] = {"n_layers": layers, "d_model": d_model, "d_vocab": d_vocab}
    if (unembed := names.get("unembed.W_U")) is not None:
        config["d_vocab_out"] = unembed[1]
    if (query := names.get("blocks.0.attn.W_Q")) is not None:
        config |= {"n_heads": query[0], "d_head": query[2]}
    if (shared := names.get("blocks.0.attn._W_K")) is not None:
        config["n_key_value_heads"] = shared[0]
    if (positions := names.get("pos_embed.W_pos")) is not None:
        config |= {"n_ctx": positions[0], "positional_embedding_type": "standard"}
        doubts["positional_embedding_type"] = "shortformer, if positions are read by queries and keys alone"
    else:
        turned, mask = names.get("blocks.0.attn.rotary_sin"), names.get("blocks.0.attn.mask")
        known = turned or mask
        config |= {"n_ctx": known[0] if known else 1024, "positional_embedding_type": "rotary"}
        if turned:
            config["rotary_dim"] = turned[1]
        else:
            doubts["rotary_dim"] = "d_head unless it is smaller; alibi positions leave no weights either"
        if not known:
            doubts["n_ctx"] = "not in the weights: the longest prompt of the training"
        doubts["rotary_adjacent_pairs"] = "true, if pairs are 2i and 2i + 1 (GPT-J); rotary_base, if it is not 10000"
    inside = names.get("blocks.0.mlp.W_in")
    config["attn_only"] = inside is None
    if inside is not None:
        ln, gated = "blocks.0.mlp.ln.w" in names, "blocks.0.mlp.W_gate" in names
        config |= {"d_mlp": inside[1], "gated_mlp": gated}
        config["act_fn"] = "solu_ln" if ln else "silu" if gated else "gelu"
        if not ln:
            doubts["act_fn"] = "not in the weights: relu, gelu, gelu_new, silu, solu"
        doubts["parallel_attn_mlp"] = "true, if the MLP reads the stream before attention"
    norm = "LN" if "blocks.0.ln1.b" in names else "RMS" if "blocks.0.ln1.w" in names else None
    config["normalization_type"] = norm
    if norm == "LN" and "ln_final.w" in names and "ln_final.b" not in names:
        config["final_rms"] = True
    if norm is None:
        doubts["normalization_type"] = "LNPre or RMSPre, if norms were folded into the weights; null: none"
    config["attention_dir"] = "causal"
    doubts["attention_dir"] = "bidirectional, if nothing was masked"
    doubts["attn_scale"] = "scores are divided by √d_head unless attn_scale or use_attn_scale say otherwise"
    for sign, what in (("embed.ln.", "a norm after the embedding"), ("_norm.w", "query and key norms"),
                       (".experts", "experts")):  # fmt: skip
        if any(sign in key for key in names):
            doubts[what] = "in these weights, and cannot be loaded from this format"
    return config | {MARK: doubts}


def _gpt2(names: Shapes) -> dict[str, object]:
    layers = n_layers(names)
    vocab, width = names["wte.weight"]
    config: dict[str, object] = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": layers}
    config |= {"vocab_size": vocab, "n_embd": width}
    if (positions := names.get("wpe.weight")) is not None:
        config["n_positions"] = positions[0]
    if (inside := names.get("h.0.mlp.c_fc.weight")) is not None:
        config["n_inner"] = inside[1]
    heads = width // 64 if width % 64 == 0 else 1
    config |= {"n_head": heads, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    doubts = {"n_head": _HEADS.format(width), "activation_function": "not in the weights: gelu_new in GPT-2"}
    if "lm_head.weight" not in names:
        config["tie_word_embeddings"] = True
        doubts["tie_word_embeddings"] = "no lm_head.weight is there, so the embedding is used at both ends"
    return config | {MARK: doubts}


def _llama(names: Shapes) -> dict[str, object]:
    layers = n_layers(names)
    vocab, width = names["embed_tokens.weight"]
    at = "layers.0.self_attn."
    absent = [name for name in (at + "q_proj.weight", at + "k_proj.weight", "layers.0.mlp.gate_proj.weight")
              if name not in names]  # fmt: skip
    if absent:
        raise ModelError(f"These weights look like Llama's, but lack {absent[0]}.", _KNOWN)
    query, key = names[at + "q_proj.weight"][0], names[at + "k_proj.weight"][0]
    size = names[at + "q_norm.weight"][0] if at + "q_norm.weight" in names else next(
        (d for d in (128, 64) if query % d == 0 and key % d == 0), key
    )  # fmt: skip
    kind, architecture = "llama", "LlamaForCausalLM"
    if at + "q_norm.weight" in names:
        kind, architecture = "qwen3", "Qwen3ForCausalLM"
    elif at + "q_proj.bias" in names:
        kind, architecture = "qwen2", "Qwen2ForCausalLM"
    config: dict[str, object] = {
        "model_type": kind, "architectures": [architecture], "num_hidden_layers": layers, "vocab_size": vocab,
        "hidden_size": width, "intermediate_size": names["layers.0.mlp.gate_proj.weight"][0],
        "num_attention_heads": query // size, "num_key_value_heads": key // size, "head_dim": size,
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 2048,
        "tie_word_embeddings": "lm_head.weight" not in names,
    }  # fmt: skip
    doubts = {
        "head_dim": f"with num_attention_heads × head_dim = {query} and num_key_value_heads × head_dim = {key}: "
        "not in the weights",
        "rope_theta": "not in the weights, nor is rope_scaling",
        "max_position_embeddings": "not in the weights",
        "rms_norm_eps": "not in the weights",
        "model_type": f"{kind} by its names; Mistral and others share them",
    }
    if at + "q_norm.weight" in names:
        del doubts["head_dim"]
    return config | {MARK: doubts}
