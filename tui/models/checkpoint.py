"""TransformerLens checkpoints: ``config.json`` in TransformerLens' keys and one state dict in HookedTransformer's.

Such folders hold most published toy models. What the native model of TransformerLens 4 does not implement is refused
here by name: it would load and compute something else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import ModelError, first_line
from .files import AGAIN, missing_weights, safetensors_header
from .find import Found
from .tokens import Classes

_REQUIRED = ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_vocab")
_DROPPED = (".mask", ".IGNORE")
_NORMS = (None, "LN", "LNPre", "RMS", "RMSPre")
_UNSUPPORTED = (
    ("use_local_attn", "local attention"),
    ("parallel_attn_mlp", "parallel blocks"),
    ("use_normalization_before_and_after", "norms after attention and MLP"),
    ("num_experts", "mixtures of experts"),
    ("shortformer_pos", "shortformer positions"),
    ("post_embedding_ln", "a norm after the embedding"),
    ("use_qk_norm", "query and key norms"),
    ("scale_attn_by_inverse_layer_idx", "attention scaled by the layer"),
)


def read_checkpoint_config(found: Found) -> Any:
    """TransformerLens' config object, with what it cannot run refused. ModelError."""
    from transformer_lens.config import TransformerBridgeConfig

    given = dict(found.config)
    absent = [key for key in _REQUIRED if not isinstance(given.get(key), int)]
    if "n_heads" in absent and isinstance(given.get("d_head"), int):
        given["n_heads"] = int(str(given["d_model"])) // int(str(given["d_head"]))
        absent.remove("n_heads")
    if absent:
        raise ModelError(
            f"{found.folder / 'config.json'} lacks {absent[0]}.", "Save the whole HookedTransformer config."
        )
    for key, what in _UNSUPPORTED:
        if given.get(key):
            raise ModelError(f"This checkpoint uses {what}, which TransformerLens cannot load from its own format.")
    norm = given.get("normalization_type", given.get("normalization"))
    positions = given.get("positional_embedding_type", "standard")
    if norm not in _NORMS:
        raise ModelError(f"normalization_type {norm} is not known.", "Known: LN, LNPre, RMS, RMSPre, null.")
    if positions != "standard" and not (positions == "rotary" and given.get("rotary_adjacent_pairs")):
        raise ModelError(f"Checkpoints with {positions} positions cannot be loaded yet.", "Learned positions can.")
    if given.get("attention_dir", "causal") not in ("causal", "bidirectional"):
        raise ModelError(f"attention_dir {given['attention_dir']} is not known.", "Known: causal, bidirectional.")
    for key in ("device", "dtype", "model_name", "tokenizer_name", "seed", "init_mode", "n_devices"):
        given.pop(key, None)
    given.update(
        normalization_type=norm,
        architecture="TransformerLensNative",
        init_weights=False,
        use_attn_result=False,
        use_split_qkv_input=False,
        use_attn_in=False,
        use_hook_mlp_in=False,
    )
    if given.get("attn_only") and not given.get("act_fn"):
        given["act_fn"] = "relu"
    # Written out in full by HookedTransformer; the native model takes 1.0 for a mistake, so it is set after building.
    given["attn_scale"] = -1.0
    try:
        return TransformerBridgeConfig.from_dict(given)
    except Exception as error:
        raise ModelError(
            f"{found.folder / 'config.json'} is not valid: {first_line(error)}.", "Compare it with the original."
        ) from error


def expected_shapes(cfg: Any) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """HookedTransformer's names → shapes for this config, and those that may be absent and are then zero."""
    d, h, k, kv = cfg.d_model, cfg.n_heads, cfg.d_head, cfg.n_key_value_heads or cfg.n_heads
    under = "_" if cfg.n_key_value_heads else ""
    out = cfg.d_vocab_out if cfg.d_vocab_out > 0 else cfg.d_vocab
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (cfg.d_vocab, d), "unembed.W_U": (d, out), "unembed.b_U": (out,)}
    if cfg.positional_embedding_type == "standard":
        shapes["pos_embed.W_pos"] = (cfg.n_ctx, d)
    norms = {"LN": ("w", "b"), "RMS": ("w",)}.get(cfg.normalization_type, ())
    shapes |= {f"ln_final.{part}": (d,) for part in (("w",) if cfg.final_rms and norms else norms)}
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
        if cfg.gated_mlp:
            shapes[at + "mlp.W_gate"] = (d, d_mlp)
        else:
            shapes |= {at + "mlp.b_in": (d_mlp,), at + "mlp.b_out": (d,)}
        if str(cfg.act_fn).lower() == "solu_ln":
            shapes |= {at + "mlp.ln.w": (d_mlp,), at + "mlp.ln.b": (d_mlp,)}
    return shapes, {key for key in shapes if key.rsplit(".", 1)[-1].lstrip("_").startswith("b_")}


def read_state(folder: Path) -> dict[str, Tensor]:
    """The folder's one state dict, on the CPU whatever device saved it. Never runs code from the file."""
    files = sorted(file for end in ("*.safetensors", "*.pt", "*.pth") for file in folder.glob(end))
    if not files:
        raise ModelError(
            f"{folder} has no weights.", "Put one .safetensors, .pt or .pth state dict beside config.json."
        )
    if len(files) > 1:
        raise ModelError(f"{folder} has {len(files)} weight files, such as {files[0].name}.", "Leave one of them.")
    file = files[0]
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        safetensors_header(file)
        return dict(load_file(file))
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"{file} cannot be read as a state dict.", "Save it again with torch.save(model.state_dict(), path)."
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{file} holds no state dict.", "Save it again with torch.save(model.state_dict(), path).")
    return state


def checked_state(state: dict[str, Tensor], cfg: Any, folder: Path) -> dict[str, Tensor]:
    """The state dict with names and shapes checked, buffers dropped and absent biases zero."""
    expected, optional = expected_shapes(cfg)
    state = {key: value for key, value in state.items() if not key.endswith((*_DROPPED, "rotary_sin", "rotary_cos"))}
    unknown = sorted(state.keys() - expected.keys() - ({"ln_final.b"} if cfg.final_rms else set()))
    if unknown:
        raise ModelError(
            f"{unknown[0]} is not a weight of the model that config.json describes.",
            f"The weights and config.json in {folder} do not belong together.",
        )
    lost = [key for key in expected if key not in state and key not in optional]
    if lost:
        raise missing_weights(lost, folder)
    out = {}
    for key, shape in expected.items():
        value = state.get(key)
        out[key] = torch.zeros(shape) if value is None else value
        if tuple(out[key].shape) != shape:
            have, want = ("×".join(map(str, s)) for s in (out[key].shape, shape))
            raise ModelError(f"{key} has shape {have}, but config.json asks for {want}.", AGAIN)
    return out


def boot_checkpoint(found: Found, device: str, dtype: torch.dtype) -> Any:
    """TransformerLens bridge around the checkpoint."""
    from transformer_lens.model_bridge.sources.native import boot
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    cfg = read_checkpoint_config(found)
    state = checked_state(read_state(found.folder), cfg, found.folder)
    try:
        bridge = boot(cfg, device=device, dtype=dtype, model_name=found.name)
        converted = convert_tl_checkpoint({key: value.to(dtype) for key, value in state.items()}, bridge.cfg)
        bridge.load_state_dict(converted, strict=True)
    except (ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"TransformerLens cannot load this checkpoint: {first_line(error)}.") from error
    scale = _scale(found.config, cfg.d_head)
    for block in bridge.blocks:
        block.attn.original_component.scale = scale
    bridge.eval()
    return bridge


def _scale(config: dict[str, object], d_head: int) -> float:
    """HookedTransformer's rule: 1 without ``use_attn_scale``, else ``attn_scale``, of which −1 means √d_head."""
    if not config.get("use_attn_scale", True):
        return 1.0
    given = float(str(config.get("attn_scale", -1.0)))
    return given if given > 0 else d_head**0.5


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
