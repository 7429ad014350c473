"""Opens a model: find the folder, check its files, load the weights, check what they compute."""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .. import label
from ..results import ModelInfo, ModelKey
from .check import Reference, count_experts, self_check, token_sample
from .checkpoint import boot_checkpoint, read_classes, read_vocabulary
from .errors import ModelError, first_line
from .families import family_of
from .files import TEXT_DECODERS, Opening, check_files, has_tokenizer, missing_weights
from .find import Found, cached_tokenizer, find_model
from .fitting import free_on, refuse_model
from .formats import RENAMES, merged
from .guard import in_words
from .headless import borrow_head, without_outputs
from .live import LiveModel, never
from .multipliers import embedding_factor
from .placed import devices, here, home, offload_folder, read_map, read_memory, refusal
from .quantised import multiplied_out, multiply_out_at_load
from .quiet import silence
from .reading import in_order, pieces, weight_files
from .tokens import HubTokenizer, ListTokenizer, Tokenizer
from .trouble import refuse_known_trouble
from .weights import read_norm

BRIDGE = "transformer_lens.model_bridge"
ALL_THREADS = torch.get_num_threads()
SMALL = 10_000_000
"""Parameters up to which one thread is best: the demo's forward pass takes 7 ms on it. Two wait for each other at every
product: 330 ms where a neighbour keeps one of two cores busy."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@in_words
def load(
    source: str = "demo",
    device: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    progress: Callable[[str], None] = lambda stage: None,
    check: Callable[[], None] = never,
    room: Callable[[], None] = never,
    freed: int = 0,
    read: Callable[[int, int], None] = lambda done, total: None,
    device_map: str = "",
    max_memory: str = "",
) -> LiveModel:
    """``demo``, a hub name or a folder → a model that is ready to be looked at.

    device: ``auto`` (CUDA, else MPS, else CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``. dtype: ``auto`` (float32 on the
    CPU, the checkpoint's own elsewhere), ``float32``, ``bfloat16``, ``float16``. ``progress`` is told the stage;
    ``check`` may raise between stages to cancel (no Exception, but a BaseException); ``room`` is called once all that
    can be known without the weights is known, before memory is taken, and gives back ``freed`` bytes; ``read`` is told
    bytes of weights read and bytes to read. ``device_map``: ``auto``, ``balanced`` or a file, for layers on several
    devices (``placed``). ModelError with one sentence and a hint when the model cannot be used.
    """
    silence()
    where = pick_device(device)
    placing = read_map(device_map) if device_map else None
    most = read_memory(max_memory)
    torch.set_num_threads(ALL_THREADS if threads is None else max(1, threads))

    def stage(name: str) -> None:
        check()
        progress(name)

    def fits(kind: str) -> None:
        if placing is not None:
            return  # what no device has room for goes to the next
        read_label = label.read(found.folder, source, found.name, "")
        by_slice = family_of(found) is not None and not (found.folder / "pytorch_model.bin.index.json").exists()
        refuse_model(read_label, kind, where, freed, free_on(where), by_slice)

    tokens: Tokenizer
    reference: Reference | None
    stage("reading config")
    found = find_model(source, progress)
    key_print, headless = found.digest, ""
    if BRIDGE not in sys.modules:
        stage("importing transformer_lens")
        importlib.import_module(BRIDGE)
        # It stays for good, and looking through it costs 500 ms a time; a model, which goes again, is not here yet.
        gc.freeze()
    stage("checking files")
    # A caller may be in inference mode; weights made there could never again be differentiated through.
    with torch.inference_mode(False), torch.no_grad():
        if found.kind == "transformerlens":
            if placing is not None:
                raise ModelError("--device-map is for folders in Hugging Face format.", "Leave it out.")
            kind = pick_dtype(dtype, where, "float32")
            fits(kind)
            room()
            stage("loading weights")
            bridge, said, n_parameters = boot_checkpoint(found, where, DTYPES[kind])
            reference = None
            tokens, notes = _checkpoint_tokenizer(found, bridge.cfg)
            notes = (*said, *notes)
            architecture = "TransformerLens"
        else:
            opening = check_files(found)
            config, headless = opening.config, opening.headless
            refuse_known_trouble(config)
            tokenizer = hub_tokenizer(found)
            kind = pick_dtype(dtype, where, str(getattr(config, "dtype", None) or "float32").removeprefix("torch."))
            fits(kind)
            room()
            stage("loading weights")
            if placing is None:
                model = _load_weights(found, opening, DTYPES[kind], check, read).to(where)
            else:
                model = _load_weights(found, opening, DTYPES[kind], check, read, placing, most)
                where = devices(model) or where
            reference = _reference(model, config, check)
            n_parameters = sum(p.numel() for p in model.parameters())
            bridge = _bridge(found, config, model, copy.deepcopy(tokenizer))
            # TransformerLens adds tokens to the tokenizer that it is given: ours stays as it was saved.
            tokens, notes = HubTokenizer(tokenizer, bridge.cfg.d_vocab, bridge.cfg.n_ctx), opening.notes
            architecture = str(config.architectures[0])
        bridge.eval()
        if threads is None and n_parameters <= SMALL:
            torch.set_num_threads(1)
        outputs: Tokenizer = tokens
        with here(bridge.unembed):
            d_out = bridge.unembed.W_U.shape[1]
        if (classes := read_classes(found.folder, bridge.cfg.d_vocab, d_out)) is not None:
            outputs, of_outputs = classes
            notes = (*notes, of_outputs)
        live = LiveModel(bridge, tokens, outputs, embedding_factor(bridge))
        _ = live.ends  # made here, outside inference mode
        stage("self-check")
        capabilities, checks = self_check(live, reference, check)
        if headless:
            capabilities = without_outputs(capabilities, headless, architecture)
    block, cfg = bridge.blocks[0], bridge.cfg
    has_mlp = "mlp" in block._modules
    info = ModelInfo(
        key=ModelKey(found.source, key_print, kind, where),
        name=found.name,
        architecture=architecture,
        n_layers=live.n_layers,
        n_heads=cfg.n_heads,
        n_key_value_heads=cfg.n_key_value_heads or cfg.n_heads,
        d_model=cfg.d_model,
        d_head=cfg.d_head,
        d_vocab=cfg.d_vocab,
        n_ctx=cfg.n_ctx,
        n_parameters=n_parameters,
        positions=_positions(live),
        norm=read_norm(bridge, "ln_final").kind,
        has_mlp=has_mlp,
        parallel_blocks=has_mlp and "hook_resid_mid" not in block.hook_aliases,
        bos_id=tokens.bos_id,
        bos_default=tokens.bos_id is not None and bool(getattr(cfg, "default_prepend_bos", True)),
        capabilities=capabilities,
        checks=checks,
        d_mlp=0 if capabilities.neurons or (mlp := live.mlp(0)) is None else len(mlp.W_out),
        n_experts=count_experts(live, checks),
        classes=() if outputs is tokens else outputs.all_texts,
        notes=(*notes, *tokens.notes),
        no_chat=tokens.no_chat,
        vocabulary=tokens.digest(),
        steps=found.steps,
        step=next((at for at, (_, source) in enumerate(found.steps) if source == found.source), 0),
        embedding_norm=read_norm(bridge, "embed_ln").kind != "none",
        bidirectional=getattr(cfg, "attention_dir", "causal") == "bidirectional",
    )
    return live.describe(info)


def pick_device(device: str) -> str:
    """The device to run on, as torch names it. ModelError for one that is not there."""
    name, _, index = device.partition(":")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cpu" and not index:
        return "cpu"
    if name == "mps" and not index:
        if not torch.backends.mps.is_available():
            raise ModelError("mps was asked for, but torch sees no Apple GPU.", "Use --device cpu.")
        return "mps"
    if name != "cuda" or (index and not index.isdigit()):
        raise ModelError(f"{device} is not a device.", "Use auto, cpu, cuda, cuda:1 or mps.")
    if not torch.cuda.is_available():
        raise ModelError(f"{device} was asked for, but torch sees no CUDA device.", "Use --device cpu.")
    number, count = int(index or 0), torch.cuda.device_count()
    if number >= count:
        raise ModelError(
            f"{device} was asked for, but torch sees {count} CUDA devices.", f"Use cuda:0 to cuda:{count - 1}."
        )
    return f"cuda:{number}"


def pick_dtype(dtype: str, device: str, stored: str) -> str:
    """Name of the dtype to run in. 16-bit arithmetic is 12 times slower than float32 on a CPU, so never by itself."""
    if dtype == "auto":
        return "float32" if device == "cpu" or stored not in DTYPES else stored
    if dtype not in DTYPES:
        raise ModelError(f"{dtype} is not a dtype.", "Use auto, float32, bfloat16 or float16.")
    return dtype


def _load_weights(
    found: Found,
    opening: Opening,
    dtype: torch.dtype,
    check: Callable[[], None],
    read: Callable[[int, int], None],
    placing: str | dict[str, int | str] | None = None,
    most: dict[int | str, str] | None = None,
) -> Any:
    """Transformers' own model, on the CPU or as it is placed."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    config = opening.config
    multiply_out_at_load(config)
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    whole = placing is not None or not isinstance(kind, type) or getattr(config, "quantization_config", None)
    where = {"device_map": placing, "max_memory": most, "offload_folder": offload_folder()} if placing else {}
    try:
        with pieces([] if whole else weight_files(found.folder), read, check) as state, in_order():
            model, report = (kind if state else AutoModelForCausalLM).from_pretrained(
                None if state else found.folder,
                state_dict=state or None,
                config=config,
                dtype=dtype,
                attn_implementation="eager",  # fused kernels give no pattern
                local_files_only=True,
                output_loading_info=True,
                key_mapping=RENAMES if opening.wrapped else None,
                **where,
            )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        check()  # where it was cancelled, that is what it says
        raise refusal(error) or ModelError(
            f"The weights in {found.folder} cannot be loaded: {first_line(error)}.", "Download them again."
        ) from error
    missing = set(report["missing_keys"]) - (borrow_head(model) if opening.headless else set())
    if missing:
        raise missing_weights(sorted(missing), found.folder)
    if found.adapter is not None:
        model = merged(model, found.adapter)
    return multiplied_out(model, config, dtype).eval()


def _reference(model: Any, config: Any, check: Callable[[], None]) -> Reference:
    """What transformers' model computes for a few tokens before anything is changed in it."""
    check()
    try:
        return Reference.of(model, token_sample(config.vocab_size, context_length(config), home(model)))
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(
            f"transformers cannot run this model: {first_line(error)}.", "Compare config.json with the original."
        ) from error


def _bridge(found: Found, config: Any, model: Any, tokenizer: Any) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    dtype = next(model.parameters()).dtype
    try:
        bridge = TransformerBridge.boot_transformers(
            str(found.folder), hf_model=model, dtype=dtype, device=home(model), tokenizer=tokenizer
        )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(
            f"TransformerLens cannot open {config.architectures[0]}: {first_line(error)}.", "Choose another model."
        ) from error
    if not all("attn" in block._modules for block in getattr(bridge, "blocks", None) or [bridge]):
        raise ModelError(
            f"{config.architectures[0]} has layers without attention heads, so there is no circuit to show.",
            TEXT_DECODERS,
        )
    bridge.cfg.n_ctx = context_length(config)
    return bridge


def context_length(config: Any) -> int:
    """How many tokens the model takes, by transformers' config."""
    for name in ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len", "seq_length"):
        if isinstance(length := getattr(config, name, None), int) and length > 0:
            return length
    return 2048


def hub_tokenizer(found: Found) -> Any:
    """The folder's tokenizer as transformers has it. ModelError where it cannot be read."""
    from transformers import AutoTokenizer

    folder = found.own_folder if has_tokenizer(found.own_folder) else found.folder
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ModelError(
            f"The tokenizer files in {folder} cannot be read: {first_line(error)}.",
            "Copy tokenizer.json and tokenizer_config.json from the model that it was trained from.",
        ) from error


def _checkpoint_tokenizer(found: Found, cfg: Any) -> tuple[Tokenizer, tuple[str, ...]]:
    """The tokenizer of a TransformerLens checkpoint and a note about it: tokenizer.json, vocab.json, or token ids."""
    bos = found.config.get("bos_token_id")
    bos_id = bos if isinstance(bos, int) and 0 <= bos < cfg.d_vocab else None
    if (found.folder / "tokenizer.json").exists():
        return HubTokenizer(_fast_tokenizer(found.folder), cfg.d_vocab, cfg.n_ctx, bos_id), ()
    if (strings := read_vocabulary(found.folder)) is not None:
        note = "prompts are tokens of vocab.json with spaces between them"
        return ListTokenizer(strings, cfg.d_vocab, cfg.n_ctx, bos_id), (note,)
    note, named = "no tokenizer: prompts are typed as token ids", found.config.get("tokenizer_name")
    if isinstance(named, str) and named:
        if (folder := cached_tokenizer(named)) is not None:
            tokens = HubTokenizer(_fast_tokenizer(folder), cfg.d_vocab, cfg.n_ctx, bos_id)
            return tokens, (f"the tokenizer is {named}, which config.json names",)
        note += f" (for text: hf download {named} tokenizer.json, then open the model again)"
    return Tokenizer(cfg.d_vocab, cfg.n_ctx, bos_id, () if bos_id is None else (bos_id,)), (note,)


def _fast_tokenizer(folder: Path) -> Any:
    """``tokenizer.json`` without a transformers config beside it; special tokens from tokenizer_config.json, if any."""
    from transformers import PreTrainedTokenizerFast

    with contextlib.suppress(Exception):
        if (folder / "tokenizer_config.json").exists():
            return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    try:
        return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    except Exception as error:
        raise ModelError(
            f"{folder / 'tokenizer.json'} cannot be read: {first_line(error)}.",
            "Copy it again; without it prompts are typed as token ids.",
        ) from error


def _positions(live: LiveModel) -> str:
    cfg = live.bridge.cfg
    if "pos_embed" in live.bridge._modules:
        return "learned"
    if any(live.rotation(layer) is not None for layer in range(live.n_layers)):
        return "rotary"
    kind = str(getattr(cfg, "positional_embedding_type", ""))
    return kind if kind in ("rotary", "alibi", "shortformer") else "none"
