"""One small random folder of each family that the README names, in the hub's own format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import folders

ROPE = {"rope_theta": 10000.0}
SMALL: dict[str, Any] = {**folders._ROTARY, "num_key_value_heads": 2}
MOE: dict[str, Any] = {**SMALL, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
GPT: dict[str, Any] = {"n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4}


@dataclass(frozen=True)
class Family:
    """A transformers class and a small configuration of it."""

    config: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    def folder(self, path: Path, **changes: Any) -> Path:
        """A random folder of this family."""
        settings = {"initializer_range": 0.3, **self.settings, **changes}
        return folders.hf_folder(path, self.config, self.model, **settings)


def llama_like(name: str, **settings: Any) -> Family:
    return Family(f"{name}Config", f"{name}ForCausalLM", {**SMALL, **settings})


def scaled(kind: str, **more: Any) -> Family:
    """A Llama whose rotation is scaled for long prompts."""
    return llama_like("Llama", rope_parameters={"rope_type": kind, "rope_theta": 10000.0, **more})


FAMILIES: dict[str, Family] = {
    "GPT-2": Family("GPT2Config", "GPT2LMHeadModel", GPT),
    "GPT-Neo": Family(
        "GPTNeoConfig",
        "GPTNeoForCausalLM",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 6,
            "max_position_embeddings": 32,
            "initializer_range": 0.2,
        },
    ),
    "GPT-J": Family("GPTJConfig", "GPTJForCausalLM", {**GPT, "rotary_dim": 4}),
    "GPT-NeoX": Family(
        "GPTNeoXConfig", "GPTNeoXForCausalLM", {**folders._ROTARY, "hidden_size": 64, "rotary_pct": 0.25}
    ),
    "OPT": Family(
        "OPTConfig",
        "OPTForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "ffn_dim": 64,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "word_embed_proj_dim": 32,
            "init_std": 0.3,
        },
    ),
    "OPT, norms behind": Family(
        "OPTConfig",
        "OPTForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "ffn_dim": 64,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "word_embed_proj_dim": 16,
            "do_layer_norm_before": False,
            "init_std": 0.3,
        },
    ),
    "Llama": llama_like("Llama"),
    "Llama, linear": scaled("linear", factor=2.0),
    "Llama, llama3": scaled(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
    ),
    "Llama, yarn": scaled("yarn", factor=4.0, original_max_position_embeddings=8),
    "Mistral": llama_like("Mistral", sliding_window=6, head_dim=8),
    "Qwen 2": llama_like("Qwen2"),
    "Qwen 3": llama_like("Qwen3", head_dim=8),
    "Qwen 3 MoE": Family("Qwen3MoeConfig", "Qwen3MoeForCausalLM", {**MOE, "head_dim": 8}),
    "Gemma": llama_like("Gemma", num_key_value_heads=1, head_dim=8),
    "Gemma 2": llama_like(
        "Gemma2",
        head_dim=8,
        sliding_window=6,
        attn_logit_softcapping=3.0,
        final_logit_softcapping=5.0,
        query_pre_attn_scalar=5,
    ),
    "Gemma 3": Family(
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        {
            **SMALL,
            "head_dim": 8,
            "sliding_window": 6,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 5,
        },
    ),
    "Phi": Family("PhiConfig", "PhiForCausalLM", {**folders._ROTARY, "partial_rotary_factor": 0.5}),
    "Phi-3": llama_like("Phi3", pad_token_id=0),
    "Phi-3, longrope": llama_like(
        "Phi3",
        pad_token_id=0,
        original_max_position_embeddings=16,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [1.0, 2.0, 3.0, 4.0],
            "original_max_position_embeddings": 16,
        },
    ),
    "OLMo": llama_like("Olmo"),
    "OLMo, clipped": llama_like("Olmo", clip_qkv=2.0),
    "OLMo 2": Family("Olmo2Config", "Olmo2ForCausalLM", {**SMALL, "num_key_value_heads": 4}),
    "Granite": llama_like(
        "Granite",
        embedding_multiplier=3.0,
        logits_scaling=4.0,
        residual_multiplier=0.4,
        attention_multiplier=0.2,
    ),
    "Falcon": Family(
        "FalconConfig",
        "FalconForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "alibi": False,
            "multi_query": True,
            "parallel_attn": True,
            "bias": False,
        },
    ),
    "Falcon, new decoder": Family(
        "FalconConfig",
        "FalconForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_kv_heads": 2,
            "new_decoder_architecture": True,
            "max_position_embeddings": 32,
            "alibi": False,
            "bias": False,
        },
    ),
    "Falcon, ALiBi": Family(
        "FalconConfig",
        "FalconForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "alibi": True,
            "multi_query": False,
            "parallel_attn": False,
            "bias": True,
        },
    ),
    "Bloom": Family("BloomConfig", "BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "Mixtral": llama_like("Mixtral", num_local_experts=4, num_experts_per_tok=2),
    "Cohere": llama_like("Cohere", logit_scale=0.25),
    "StableLM": llama_like("StableLm", partial_rotary_factor=0.5),
    "GPT-OSS": llama_like(
        "GptOss", head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=6,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "LFM 2": llama_like("Lfm2", layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False),
    "Mamba": Family("MambaConfig", "MambaForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
}  # fmt: skip

PARALLEL = "attention and MLP run side by side: there is no state between them"
JOINT = "queries and keys are normalised over all heads at once: one head has no QK circuit of its own"
NORMED = "the query/key norm stands between: no bilinear form"
IN_STREAM = "its norms stand in the stream itself (opt-350m): it is no sum of what the parts write"
CLIPPED = "where queries, keys or values reach the clip, the weights alone do not make them; where none does, all holds"
MIXED = "the MLP is a mixture of experts: `U` shows those"
OFF: dict[str, dict[str, str]] = {
    "GPT-J": {"states_mid": PARALLEL},
    "GPT-NeoX": {"states_mid": PARALLEL},
    "OPT, norms behind": dict.fromkeys(("qk", "ov", "composition", "residual", "states_mid", "neurons"), IN_STREAM),
    "Qwen 3": {"composition": NORMED},
    "Qwen 3 MoE": {"composition": NORMED, "neurons": MIXED},
    "Gemma 3": {"composition": NORMED},
    "Phi": {"states_mid": PARALLEL},
    "OLMo, clipped": {"qk": CLIPPED, "ov": CLIPPED, "composition": CLIPPED},
    "OLMo 2": {"qk": JOINT, "composition": JOINT},
    "Falcon": {"states_mid": PARALLEL},
    "Mixtral": {"neurons": MIXED},
    "Cohere": {"states_mid": PARALLEL},
    "GPT-OSS": {"neurons": MIXED},
}
"""Family → capability that is off (and ``composition`` into queries and keys) → why, in the README's words."""
REFUSED = {
    "Falcon, new decoder": "This Falcon stores queries in groups",
    "Falcon, ALiBi": "This Falcon has ALiBi positions",
    "LFM 2": "Lfm2ForCausalLM has layers without attention heads",
    "Mamba": "MambaForCausalLM has layers without attention heads",
}
"""How the sentence begins that refuses a family at load."""
NOT_OPENED = {
    "Falcon, new decoder": "TransformerLens takes its grouped queries apart wrongly",
    "Falcon, ALiBi": "transformers' eager attention adds ALiBi twice",
    "LFM 2": "a hybrid: layers without attention heads have no circuit of heads",
    "Mamba": "a state-space model: there are no attention heads",
}
SAID = {
    "GPT-2": "learned positions",
    "GPT-Neo": "local attention, no scale",
    "GPT-J": "adjacent rotary pairs",
    "GPT-NeoX": "Pythia; a part of each head rotated",
    "Llama": "grouped keys",
    "Mistral": "sliding window",
    "Qwen 2": "biases on queries, keys, values",
    "Qwen 3": "query/key norm",
    "Qwen 3 MoE": "query/key norm, experts",
    "Gemma": "scaled embedding, w + 1",
    "Gemma 2": "soft caps, norms behind, sliding window",
    "Gemma 3": "query/key norm, two rotary bases",
    "OLMo": "norms without weights",
    "OLMo 2": "norms behind",
    "Granite": "its four multipliers are in the weights shown",
    "Falcon": "one key and value head",
    "Bloom": "ALiBi is in scores, not in QK by token; `W_E` is behind the embedding's norm",
    "Mixtral": "experts",
    "Cohere": "logit scale is in `W_U`",
    "StableLM": "a part of each head rotated",
    "GPT-OSS": "attention sinks, experts",
}
VIEWS = {
    "pattern": "pattern", "scores": "scores", "qk": "QK", "ov": "OV", "composition": "composition (Q, K)",
    "residual": "residual, lens, attribution", "states_mid": "states between", "neurons": "neurons",
}  # fmt: skip


def table() -> str:
    """The README's table of families: what holds, what is off and why."""
    lines = ["| family | holds | off, and why |", "| --- | --- | --- |"]
    for name in FAMILIES:
        if name in NOT_OPENED:
            lines.append(f"| {name} | not opened | {NOT_OPENED[name]} |")
            continue
        off = OFF.get(name, {})
        by_reason: dict[str, list[str]] = {}
        for view, why in off.items():
            by_reason.setdefault(why, []).append(VIEWS[view])
        why = "; ".join(f"{', '.join(views)}: {reason}" for reason, views in by_reason.items())
        kept = [words for view, words in VIEWS.items() if view not in off]
        holds = ", ".join([*kept, *(["experts"] if off.get("neurons") == MIXED else [])]) if off else "all"
        lines.append(f"| {name}{f' ({SAID[name]})' if name in SAID else ''} | {holds} | {why} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
