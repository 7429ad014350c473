"""TransformerLens checkpoints: ``config.json`` (or ``cfg.json``) in TransformerLens' keys, and state dicts in
HookedTransformer's names.

Such folders hold most published toy models. What HookedTransformer computed and the native model of TransformerLens 4
does not is put into that model (``native``); what is left is refused here by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .errors import ModelError, first_line
from .files import AGAIN
from .find import Found
from .state import checked_state, read_state
from .steps import config_of, weight_files
from .tokens import Classes

if TYPE_CHECKING:
    from .native import Traits

_REQUIRED = ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_vocab")
_NORMS = (None, "LN", "LNPre", "RMS", "RMSPre")
_POSITIONS = ("standard", "rotary", "shortformer")
_SAME_TANH = ("gelu_fast", "gelu_pytorch_tanh")
"""Other names of ``gelu_new``."""
_UNSUPPORTED = (
    ("use_normalization_before_and_after", "norms after attention and MLP"),
    ("num_experts", "mixtures of experts"),
    ("post_embedding_ln", "a norm after the embedding"),
    ("use_qk_norm", "query and key norms"),
    ("use_NTK_by_parts_rope", "rotary frequencies scaled by parts (NTK)"),
    ("rotary_base_local", "two rotary bases"),
)
_INSTEAD = "The model it was made from opens in Hugging Face format: circuit-tui NAME, or the folder."


def read_checkpoint_config(found: Found) -> Any:
    """TransformerLens' config object, with what cannot be run refused. ModelError."""
    from transformer_lens.config import TransformerBridgeConfig

    given, where = dict(found.config), _config_name(found)
    absent = [key for key in _REQUIRED if not isinstance(given.get(key), int)]
    if "n_heads" in absent and isinstance(given.get("d_head"), int) and isinstance(given.get("d_model"), int):
        given["n_heads"] = int(str(given["d_model"])) // int(str(given["d_head"]))
        absent.remove("n_heads")
    if absent:
        raise ModelError(f"{where} lacks {absent[0]}.", "Save the whole HookedTransformer config: cfg.to_dict().")
    _refuse(given)
    norm = given.get("normalization_type", given.get("normalization"))
    act = given.get("act_fn")
    if act is None and given.get("attn_only"):
        act = "relu"
    for key in ("device", "dtype", "model_name", "tokenizer_name", "seed", "init_mode", "n_devices"):
        given.pop(key, None)
    given.update(
        normalization_type=norm,
        act_fn="gelu_new" if act in _SAME_TANH else act,
        architecture="TransformerLensNative",
        positional_embedding_type="rotary" if _positions(given) == "rotary" else "standard",
        init_weights=False,
        use_attn_result=False,
        use_split_qkv_input=False,
        use_attn_in=False,
        use_hook_mlp_in=False,
        # Written out in full by HookedTransformer; the native model takes 1.0 for a mistake: ``native`` sets it.
        attn_scale=-1.0,
    )
    try:
        return TransformerBridgeConfig.from_dict(given)
    except Exception as error:
        raise ModelError(f"{where} is not valid: {first_line(error)}.", "Compare it with the original.") from error


def _refuse(given: Mapping[str, Any]) -> None:
    """Refuse by name what would be loaded as something else."""
    for key, what in _UNSUPPORTED:
        if given.get(key):
            raise ModelError(f"This checkpoint uses {what}, which cannot be loaded from this format.", _INSTEAD)
    norm = given.get("normalization_type", given.get("normalization"))
    if norm not in _NORMS:
        raise ModelError(f"normalization_type {norm} is not known.", "Known: LN, LNPre, RMS, RMSPre, null.")
    if (positions := _positions(given)) not in _POSITIONS:
        raise ModelError(f"Checkpoints with {positions} positions cannot be loaded.", _INSTEAD)
    if given.get("attention_dir", "causal") not in ("causal", "bidirectional"):
        raise ModelError(f"attention_dir {given['attention_dir']} is not known.", "Known: causal, bidirectional.")
    if given.get("gated_mlp") and str(given.get("act_fn")).endswith("_ln"):
        raise ModelError(
            f"Gated MLPs with a norm in them ({given['act_fn']}) are not known.",
            "Set gated_mlp to false, or act_fn to silu, as the model was trained.",
        )


def _positions(given: Mapping[str, Any]) -> str:
    named = str(given.get("positional_embedding_type") or "standard")
    return "shortformer" if given.get("shortformer_pos") and named == "standard" else named


def _config_name(found: Found) -> str:
    return str(config_of(found.folder) or found.weights or found.folder / "config.json")


def read_traits(given: Mapping[str, Any], cfg: Any) -> Traits:
    """What the native model does not read of the config. ModelError for windows that are none."""
    from .native import Traits

    # HookedTransformer's rule: 1 without ``use_attn_scale``, else ``attn_scale``, of which −1 means √d_head.
    own = float(str(given.get("attn_scale", -1.0)))
    scale = (own if own > 0 else cfg.d_head**0.5) if given.get("use_attn_scale", True) else 1.0
    by_layer = bool(given.get("scale_attn_by_inverse_layer_idx"))
    windows: tuple[int | None, ...] = (None,) * cfg.n_layers
    if given.get("use_local_attn"):
        kinds, window = given.get("attn_types"), given.get("window_size")
        if not isinstance(kinds, list) or len(kinds) < cfg.n_layers or not set(kinds) <= {"global", "local"}:
            raise ModelError(
                f"use_local_attn needs attn_types, global or local for each of {cfg.n_layers} layers; it is {kinds}.",
                'Write "attn_types": ["global", "local", …].',
            )
        if not isinstance(window, int) or window < 1:
            raise ModelError(
                f"use_local_attn needs window_size; it is {window}.", 'Write how many tokens: "window_size": 256.'
            )
        # Without a causal mask HookedTransformer applies no window either.
        if cfg.attention_dir == "causal":
            windows = tuple(window if kind == "local" else None for kind in kinds[: cfg.n_layers])
    return Traits(
        scales=tuple(scale * (layer + 1 if by_layer else 1) for layer in range(cfg.n_layers)),
        windows=windows,
        shortformer=_positions(given) == "shortformer",
        halves=not given.get("rotary_adjacent_pairs"),
        parallel=bool(given.get("parallel_attn_mlp")) and not cfg.attn_only,
    )


def expected_shapes(cfg: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """HookedTransformer's names → shapes for this config, and those that may be absent with what they then are."""
    d, h, k, kv = cfg.d_model, cfg.n_heads, cfg.d_head, cfg.n_key_value_heads or cfg.n_heads
    under = "_" if cfg.n_key_value_heads else ""
    out = cfg.d_vocab_out if cfg.d_vocab_out > 0 else cfg.d_vocab
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (cfg.d_vocab, d), "unembed.W_U": (d, out), "unembed.b_U": (out,)}
    if cfg.positional_embedding_type == "standard":
        shapes["pos_embed.W_pos"] = (cfg.n_ctx, d)
    norms = {"LN": ("w", "b"), "RMS": ("w",)}.get(cfg.normalization_type, ())
    shapes |= {f"ln_final.{part}": (d,) for part in (("w",) if cfg.final_rms and norms else norms)}
    optional: dict[str, float] = {}
    for layer in range(cfg.n_layers):
        at = f"blocks.{layer}."
        shapes |= {at + "attn.W_Q": (h, d, k), at + f"attn.{under}W_K": (kv, d, k), at + f"attn.{under}W_V": (kv, d, k)}
        shapes |= {at + "attn.b_Q": (h, k), at + f"attn.{under}b_K": (kv, k), at + f"attn.{under}b_V": (kv, k)}
        shapes |= {at + "attn.W_O": (h, k, d), at + "attn.b_O": (d,)}
        shapes |= {at + f"ln1.{part}": (d,) for part in norms}
        if cfg.attn_only:
            continue
        d_mlp = cfg.d_mlp or 4 * d
        shapes |= {at + f"ln2.{part}": (d,) for part in norms}
        shapes |= {at + "mlp.W_in": (d, d_mlp), at + "mlp.W_out": (d_mlp, d)}
        shapes |= {at + "mlp.b_in": (d_mlp,), at + "mlp.b_out": (d,)}
        if cfg.gated_mlp:
            shapes[at + "mlp.W_gate"] = (d, d_mlp)
        if str(cfg.act_fn).lower() == "solu_ln":
            shapes |= {at + "mlp.ln.w": (d_mlp,), at + "mlp.ln.b": (d_mlp,)}
            if cfg.normalization_type != "LN":  # without weights of its own there
                optional |= {at + "mlp.ln.w": 1.0, at + "mlp.ln.b": 0.0}
    return shapes, optional | {key: 0.0 for key in shapes if key.rsplit(".", 1)[-1].lstrip("_").startswith("b_")}


def weights_of(found: Found) -> Path:
    """The file that a checkpoint's weights are in."""
    files = [found.weights] if found.weights is not None else weight_files(found.folder)[-1:]
    if not files:
        raise ModelError(
            f"{found.folder} has no weights.", "Put one .safetensors, .pt or .pth state dict beside config.json."
        )
    return files[0]


def boot_checkpoint(found: Found, device: str, dtype: torch.dtype) -> tuple[Any, tuple[str, ...], int]:
    """TransformerLens' bridge around the checkpoint, notes on what was read how, and the number of weights."""
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    from . import native

    cfg = read_checkpoint_config(found)
    traits = read_traits(found.config, cfg)
    stored, renamed = read_state(weights_of(found))
    state, left = checked_state(stored, cfg, *expected_shapes(cfg), found.folder)
    try:
        bridge = native.build(cfg, traits, device, dtype, found.name)
        given = {key: value.to(dtype) for key, value in state.items()}
        own = native.take_apart(given, cfg, traits)
        bridge.load_state_dict(convert_tl_checkpoint(given, bridge.cfg), strict=True)
        native.put_in(bridge, own)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except (ValueError, NotImplementedError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(
            f"TransformerLens cannot load this checkpoint: {first_line(error)}.",
            "Compare config.json with the config that the model was trained with.",
        ) from error
    if traits.shortformer:
        bridge.cfg.positional_embedding_type = "shortformer"
    bridge.eval()
    n_parameters = sum(value.numel() for key, value in state.items() if key in stored)
    return bridge, (*renamed, *left), n_parameters


def read_vocabulary(folder: Path) -> list[str] | None:
    """``vocab.json`` as a list of token strings (or a string → id table); None where there is none."""
    file = folder / "vocab.json"
    strings = _read_json(file)
    try:
        if isinstance(strings, dict):
            strings = [text for text, _ in sorted(strings.items(), key=lambda item: int(item[1]))]
    except (ValueError, TypeError) as error:
        raise ModelError(f"{file} cannot be read as JSON: {first_line(error)}.", AGAIN) from error
    return _strings(strings, file, "token strings", "token ids")


def read_classes(folder: Path, n_tokens: int, n_outputs: int) -> tuple[Classes, str] | None:
    """The outputs as classes of their own, and a note on their names: those of ``vocab_out.json``, else ``class 0``, …;
    None where they are the tokens."""
    file = folder / "vocab_out.json"
    names = _strings(_read_json(file), file, "names of outputs", "outputs")
    if names is None:
        if n_outputs == n_tokens:
            return None
        how = f"class 0 to class {n_outputs - 1}: {file.name} can name them"
        return Classes(
            [f"class {i}" for i in range(n_outputs)]
        ), f"outputs are no tokens but {n_outputs} classes, {how}"
    if len(names) != n_outputs:
        raise ModelError(
            f"{file} names {len(names)} outputs, but the model has {n_outputs}.", "Name each of them, in order."
        )
    return Classes(names), f"outputs are no tokens but the {n_outputs} classes of {file.name}"


def _read_json(file: Path) -> Any:
    """What the file holds; None where there is none."""
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read as JSON: {first_line(error)}.", AGAIN) from error


def _strings(value: Any, file: Path, what: str, order: str) -> list[str] | None:
    if not file.exists():
        return None
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ModelError(f"{file} is not a list of {what}.", f'Write ["a", "b", …] in order of the {order}.')
    return value
