"""Where the tensors of each family of models are called what: one declaration a family.

Most families share Llama's names. A family that is not here, and a setting of one that changes what is computed in a
way that is not declared, has no mapping: its model is loaded as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from .find import Found

Fused = Literal["", "joined", "interleaved", "by head"]


@dataclass(frozen=True)
class Family:
    """Names of tensors and of settings. ``{}`` in a name is the layer; names of modules are without ``.weight``."""

    body: str = "model."
    layer: str = "layers.{}."
    embed: str = "embed_tokens"
    positions: str = ""
    """Learned positions; empty: none."""
    first_position: int = 0
    """Rows of them before position 0."""
    final_norm: str = "norm"
    head: str = "lm_head"
    q: str = "self_attn.q_proj"
    k: str = "self_attn.k_proj"
    v: str = "self_attn.v_proj"
    o: str = "self_attn.o_proj"
    fused: Fused = ""
    """``joined``: ``q`` names one matrix of all queries, then all keys, then all values; ``interleaved``: the query,
    key and value of a head beside each other; ``by head``: ``[heads, in, out]``, as TransformerLens has it."""
    by_input: bool = False
    """Whether matrices are stored ``[in, out]`` (GPT-2's) and not ``[out, in]``."""
    ln1: str = "input_layernorm"
    ln1_post: str = ""
    ln2: str = "post_attention_layernorm"
    """Empty: the MLP reads through ``ln1``."""
    ln2_post: str = ""
    q_norm: str = ""
    k_norm: str = ""
    norm: str = "RMSNorm"
    eps: str = "rms_norm_eps"
    """The setting, or the number itself."""
    plus_one: bool = False
    """Whether a norm's stored weight is one less than what it multiplies by (Gemma)."""
    gate: str = "mlp.gate_proj"
    """Empty: no gate. With ``up`` empty: one matrix of gate, then value."""
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    act: str = "hidden_act"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    n_ctx: str = "max_position_embeddings"
    scale: Literal["root", "one", "gpt2", "gptj", "query_pre_attn_scalar", "lens"] = "root"
    """What scores are divided by."""
    scaled_embedding: bool = False
    """By √d_model (Gemma)."""
    score_cap: str = ""
    logit_cap: str = ""
    rotary: Literal["", "halves", "gptj"] = "halves"
    partial: str = ""
    """The setting for the share of a head that is rotated, where it is not among the rotary parameters."""
    parallel: str | bool = False
    """Whether attention and MLP read the same stream, or the setting that says so."""
    window: Literal["", "all", "by layer", "gpt_neo"] = ""
    """Which layers attend to a sliding window."""
    bos: bool = True
    """Whether such models were trained to expect a BOS."""
    tied: bool = True
    """Whether the unembedding is the embedding where config.json does not say."""
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Settings and the values that they must have: with another one there is no mapping."""


LLAMA = Family(tied=False, only={"pretraining_tp": (1, None), "mlp_bias": (False, True, None)})
QWEN = replace(LLAMA, bos=False, window="by layer", only={})
_GEMMA = Family(plus_one=True, scaled_embedding=True, act="hidden_activation")
_GEMMA2 = replace(
    _GEMMA, ln1_post="post_attention_layernorm", ln2="pre_feedforward_layernorm", ln2_post="post_feedforward_layernorm",
    scale="query_pre_attn_scalar", score_cap="attn_logit_softcapping", logit_cap="final_logit_softcapping",
    window="by layer", only={"use_bidirectional_attention": (False, None)},
)  # fmt: skip
GPT2 = Family(
    body="transformer.", layer="h.{}.", embed="wte", positions="wpe", final_norm="ln_f", q="attn.c_attn",
    o="attn.c_proj", fused="joined", by_input=True, ln1="ln_1", ln2="ln_2", norm="LayerNorm", eps="layer_norm_epsilon",
    gate="", up="mlp.c_fc", down="mlp.c_proj", act="activation_function", layers="n_layer", heads="n_head",
    n_ctx="n_positions", scale="gpt2", rotary="",
    only={"add_cross_attention": (False, None), "scale_attn_weights": (True, None)},
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {
    "GPT2LMHeadModel": GPT2,
    "GPTNeoForCausalLM": replace(
        GPT2, q="attn.attention.q_proj", k="attn.attention.k_proj", v="attn.attention.v_proj", fused="",
        o="attn.attention.out_proj", by_input=False, layers="num_layers", heads="num_heads",
        n_ctx="max_position_embeddings", scale="one", window="gpt_neo", only={},
    ),
    "GPTJForCausalLM": replace(
        GPT2, positions="", q="attn.q_proj", k="attn.k_proj", v="attn.v_proj", o="attn.out_proj", fused="",
        by_input=False, ln2="", up="mlp.fc_in", down="mlp.fc_out", scale="gptj", rotary="gptj", parallel=True,
        tied=False, only={},
    ),
    "GPTNeoXForCausalLM": Family(
        body="gpt_neox.", embed="embed_in", final_norm="final_layer_norm", head="embed_out",
        q="attention.query_key_value", o="attention.dense", fused="interleaved", norm="LayerNorm", eps="layer_norm_eps",
        gate="", up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h", partial="rotary_pct",
        parallel="use_parallel_residual", bos=False, tied=False,
    ),
    "OPTForCausalLM": Family(
        body="model.decoder.", positions="embed_positions", first_position=2, final_norm="final_layer_norm",
        o="self_attn.out_proj", ln1="self_attn_layer_norm", ln2="final_layer_norm", norm="LayerNorm", eps="1e-05",
        gate="", up="fc1", down="fc2", act="activation_function", rotary="",
        only={"do_layer_norm_before": (True,), "_remove_final_layer_norm": (False, None)},
    ),
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": replace(LLAMA, window="all", only={}),
    "Qwen2ForCausalLM": QWEN,
    "Qwen3ForCausalLM": replace(QWEN, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm"),
    "GemmaForCausalLM": replace(_GEMMA, act="hidden_act", only={"use_bidirectional_attention": (False, None)}),
    "Gemma2ForCausalLM": _GEMMA2,
    "Gemma3ForCausalLM": replace(_GEMMA2, q_norm="self_attn.q_norm", k_norm="self_attn.k_norm"),
    "PhiForCausalLM": Family(
        o="self_attn.dense", norm="LayerNorm", eps="layer_norm_eps", final_norm="final_layernorm", ln2="", gate="",
        up="mlp.fc1", down="mlp.fc2", partial="partial_rotary_factor", parallel=True, bos=False,
        tied=False, only={"qk_layernorm": (False, None)},
    ),
    "Phi3ForCausalLM": Family(
        q="self_attn.qkv_proj", fused="joined", gate="mlp.gate_up_proj", up="", partial="partial_rotary_factor",
        window="all", tied=False,
    ),
    "StableLmForCausalLM": Family(
        norm="LayerNorm", eps="layer_norm_eps", partial="partial_rotary_factor", tied=False,
        only={"qk_layernorm": (False, None), "use_parallel_residual": (False, None)},
    ),
    "Olmo2ForCausalLM": Family(
        ln1="", ln1_post="post_attention_layernorm", ln2="-", ln2_post="post_feedforward_layernorm",
        q_norm="self_attn.q_norm", k_norm="self_attn.k_norm", tied=False,
    ),
}  # fmt: skip
"""Architecture in config.json → its names. ``ln1`` empty, ``ln2`` ``-``: no norm before."""


LENS = Family(
    body="", layer="blocks.{}.", embed="embed.e", positions="pos_embed.pos", final_norm="ln_final", head="unembed.u",
    q="attn.q", k="attn.k", v="attn.v", o="attn.o", fused="by head", by_input=True, ln1="ln1", ln2="ln2",
    norm="LayerNorm", eps="eps", gate="", up="mlp.in", down="mlp.out", act="act_fn", layers="n_layers", heads="n_heads",
    n_ctx="n_ctx", scale="lens", rotary="", tied=False,
    only={
        "attention_dir": ("causal",), "positional_embedding_type": ("standard",), "use_local_attn": (False, None),
        "parallel_attn_mlp": (False, None), "shortformer_pos": (False, None), "post_embedding_ln": (False, None),
        "use_normalization_before_and_after": (False, None), "num_experts": (None, 0), "use_qk_norm": (False, None),
        "scale_attn_by_inverse_layer_idx": (False, None), "final_rms": (False, None), "gated_mlp": (False, None),
        "attn_scores_soft_cap": (-1.0, None), "output_logits_soft_cap": (-1.0, None),
        "normalization_type": ("LN", "LNPre", "RMS", "RMSPre", None),
        "normalization": ("LN", "LNPre", "RMS", "RMSPre", None),
    },
)  # fmt: skip
"""TransformerLens' own checkpoints, their tensors renamed by ``lens_name``."""
_LENS_NAME = re.compile(r"\.(?:_?([Wb])_(\w+)|([wb]))$")


def lens_name(name: str) -> str:
    """``blocks.0.attn.W_Q`` → ``blocks.0.attn.q.weight``, ``ln_final.b`` → ``ln_final.bias``."""

    def renamed(found: re.Match[str]) -> str:
        kind = "weight" if (found[1] or found[3]).lower() == "w" else "bias"
        return f".{found[2].lower()}.{kind}" if found[2] else f".{kind}"

    return _LENS_NAME.sub(renamed, name)


class Settings:
    """config.json; a setting that it leaves out is asked of transformers, which is imported only then."""

    def __init__(self, found: Found) -> None:
        self._given, self._folder = found.config, found.folder

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def __getitem__(self, name: str) -> Any:
        if name in self._given or "model_type" not in self._given:
            return self._given.get(name)
        return getattr(self.whole, name, None)

    def given(self, name: str, default: Any = None) -> Any:
        """What config.json itself says."""
        return self._given.get(name, default)

    @cached_property
    def whole(self) -> Any:
        """transformers' config object."""
        from .quiet import silence

        silence()
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self._folder, local_files_only=True)


def family_of(found: Found) -> Family | None:
    """The names that a folder's tensors have; None: no mapping."""
    if found.kind == "transformerlens":
        family: Family | None = LENS
    else:
        names = found.config.get("architectures")
        family = FAMILIES.get(str(names[0])) if isinstance(names, list) and names else None
    if family is None or found.config.get("quantization_config"):
        return None
    # A setting that is left out has the family's default, which is among those allowed.
    fits = all(found.config[name] in allowed for name, allowed in family.only.items() if name in found.config)
    return family if fits else None
