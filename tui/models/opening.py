"""What opens first: a folder's weights by slice, without its model where that is asked for.

``load``: the model as a whole (``load``). ``first``: from the files at once where the family has a mapping and the
model is small enough to run on plain tensors; the model itself is loaded behind it (``boot``) and the two are compared.
``weights``, ``stream``: from the files alone, whatever the size.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from ..results import FROM_FILES, WEIGHTS_ONLY, ModelInfo, ModelKey
from .check import LIMITS, error, token_sample
from .checkpoint import read_classes
from .errors import ModelError
from .families import FAMILIES, LENS, family_of
from .file_tokens import file_tokens
from .find import Found, find_model
from .formats import prefix_note
from .live import LiveModel, never
from .load import ALL_THREADS, DTYPES, SMALL, hub_tokenizer, load, pick_device, pick_dtype
from .quiet import silence
from .state import wrapper_notes
from .stored import stored_weights
from .tokens import HubTokenizer, Tokenizer
from .unloaded import How, StoredModel, capabilities

FIRST = 500_000_000
"""Parameters up to which the first views come from the files: a larger model is read in full by its first forward pass,
and might as well be loaded."""
COMPARED = "weights from the files = the model"
IMPORTED = ("transformers", "transformers.models.auto.modeling_auto", "transformers.modeling_utils", "datasets",
            "transformer_lens.utilities", "transformer_lens.model_bridge")  # fmt: skip
"""What a load imports, in pieces: between two of them something else may be computed."""
PROBE = "The capital of France, 東京 and\n\tits 1,234 words: don't it’s  <s> 🙂"
Wanted = Literal["load", "first", "weights", "stream"]


def open_model(
    source: str,
    device: str,
    dtype: str,
    threads: int | None,
    how: Wanted,
    progress: Callable[[str], None] = lambda stage: None,
    check: Callable[[], None] = never,
    room: Callable[[], None] = never,
    freed: int = 0,
    read: Callable[[int, int], None] = lambda done, total: None,
    device_map: str = "",
    max_memory: str = "",
) -> LiveModel | StoredModel:
    """A model that is ready to be looked at; arguments as ``load`` has them. ModelError as there, and for
    ``weights`` and ``stream`` of a folder that cannot be read by slice."""
    if how == "load" or (how == "first" and device_map):
        return load(source, device, dtype, threads, progress, check, room, freed, read, device_map, max_memory)
    silence()
    progress("reading config")
    found = find_model(source, progress)
    progress("reading weights")
    try:
        opened = from_files(found, device, dtype, threads, how)
    except ModelError:
        if how != "first":
            raise
        opened = None  # what is wrong with it, if anything is, the load says: it compares with the whole model
    if opened is not None:
        room()
        return opened
    if how == "first":
        return load(source, device, dtype, threads, progress, check, room, freed, read, device_map, max_memory)
    option = "--weights-only" if how == "weights" else "--stream"
    raise ModelError(f"{option} cannot read {found.name} by slice: {_why_not(found)}.", f"Open it without {option}.")


def _why_not(found: Found) -> str:
    """Why a folder's weights are not read by slice."""
    if found.adapter is not None:
        return "an adapter is merged into a model that is loaded"
    if family_of(found) is not None:
        several = found.kind != "transformerlens" and not (found.folder / "pytorch_model.bin").exists()
        binary = several and not list(found.folder.glob("*.safetensors"))
        return (
            "its weights are in several .bin files, and only safetensors can be (model.save_pretrained(FOLDER) "
            "writes them so)" if binary else "its config.json or its weights are not as most of its architecture are"
        )  # fmt: skip
    if found.kind == "transformerlens":
        odd = [name for name, allowed in LENS.only.items() if found.config.get(name, allowed[0]) not in allowed]
        return f"that is not known of a checkpoint with {odd[0]} {found.config[odd[0]]}" if odd else "it is quantised"
    names = found.config.get("architectures") or [found.config.get("model_type", "no architecture")]
    what = names[0] if isinstance(names, list) else names
    if what in FAMILIES:
        return f"a setting in its config.json changes what {what} computes"
    return f"{what} is not among the architectures that are (GPT-2, Llama, Mistral, Qwen, Gemma, Phi, Pythia, …)"


def from_files(found: Found, device: str, dtype: str, threads: int | None, how: How) -> StoredModel | None:
    """The model from its files; None where it has to be loaded."""
    where = pick_device(device)
    lens = found.kind == "transformerlens"
    said = "float32" if lens else str(found.config.get("dtype") or found.config.get("torch_dtype") or "float32")
    kind = pick_dtype(dtype, where, said.removeprefix("torch."))
    stored = stored_weights(found, where, DTYPES[kind])
    if stored is None or (how == "first" and stored.n_parameters > FIRST):
        return None
    tokens = file_tokens(found, stored.d_vocab, stored.n_ctx)
    if tokens is None:
        if how == "first":
            return None
        tokens = HubTokenizer(hub_tokenizer(found), stored.d_vocab, stored.n_ctx)
    torch.set_num_threads(max(1, threads) if threads else 1 if stored.n_parameters <= SMALL else ALL_THREADS)
    classes = read_classes(found.folder, stored.d_vocab, stored.ends().W_U.shape[1])
    model = StoredModel(stored, tokens, tokens if classes is None else classes[0], how)
    notes = () if classes is None else (classes[1],)
    if lens and type(tokens) is Tokenizer:
        notes = ("no tokenizer: prompts are typed as token ids", *notes)
    names = stored.shards.stored_names
    taken = wrapper_notes(names) if lens else tuple(filter(None, (prefix_note(names),)))
    notes = (*notes, *taken)
    return model.describe(_described(found, model, kind, where, notes))


def _described(found: Found, model: StoredModel, dtype: str, device: str, notes: tuple[str, ...]) -> ModelInfo:
    stored, tokens, outputs = model.stored, model.tokens, model.outputs
    lens = found.kind == "transformerlens"
    own = outputs is tokens
    names = found.config.get("architectures")
    expects = bool(found.config.get("default_prepend_bos", True)) if lens else stored.family.bos
    return ModelInfo(
        key=ModelKey(found.source, found.digest, dtype, device),
        name=found.name,
        architecture="TransformerLens" if lens else str(names[0] if isinstance(names, list) else names),
        n_layers=stored.n_layers,
        n_heads=stored.n_heads,
        n_key_value_heads=stored.n_groups,
        d_model=stored.d_model,
        d_head=stored.d_head,
        d_vocab=stored.d_vocab,
        n_ctx=stored.n_ctx,
        n_parameters=stored.n_parameters,
        positions="learned" if stored.family.positions else "rotary" if stored.rotation(0) is not None else "none",
        norm=stored.norm_kind,
        has_mlp=not stored.attention_only,
        parallel_blocks=not stored.attention_only and stored.parallel,
        bos_id=tokens.bos_id,
        bos_default=tokens.bos_id is not None and expects,
        capabilities=capabilities(stored, model.how, None if own else outputs.d_vocab),
        d_mlp=stored.d_mlp,
        classes=() if own else outputs.all_texts,
        notes=(*notes, *tokens.notes),
        no_chat=tokens.no_chat,
        vocabulary=tokens.digest(),
        steps=found.steps,
        step=next((at for at, (_, source) in enumerate(found.steps) if source == found.source), 0),
        source={"first": FROM_FILES, "weights": WEIGHTS_ONLY, "stream": "layer by layer"}[model.how],
    )


def boot(
    stored: StoredModel,
    source: str,
    device: str,
    dtype: str,
    threads: int | None,
    progress: Callable[[str], None] = lambda stage: None,
    check: Callable[[], None] = never,
    read: Callable[[int, int], None] = lambda done, total: None,
) -> LiveModel:
    """The model itself, loaded behind what was read from its files and compared with it.

    Where the two differ by more than rounding, its key says by how much, so that no result of the one is taken for one
    of the other.
    """
    for name in IMPORTED:
        check()
        progress(f"importing {name.partition('.')[0]}")
        importlib.import_module(name)
    live = load(source, device, dtype, threads, progress, check, read=read)
    worst = difference(stored, live, check)
    info = live.info
    checks = {**info.checks, COMPARED: worst}
    limit = LIMITS[DTYPES[info.key.dtype]]
    if worst <= limit and same_tokens(stored.tokens, live.tokens) and info.key == stored.info.key:
        return live.describe(replace(info, checks=checks))
    what = f"by {worst:.1e}" if worst > limit else "in how it splits a text"
    note = f"what was shown first, from the files, differed {what}: all is computed anew by the model itself"
    key = replace(info.key, apart=f"{worst:.1e}")
    return live.describe(replace(info, key=key, checks=checks, notes=(*info.notes, note)))


def difference(stored: StoredModel, live: LiveModel, check: Callable[[], None] = never) -> float:
    """The largest error of heads' weights, patterns and logits from the files against the model's own."""
    layers = range(live.n_layers)
    if (stored.n_layers, stored.stored.n_heads) != (live.n_layers, live.info.n_heads):
        return float("inf")
    ids = token_sample(live.info.d_vocab, live.info.n_ctx, live.device)
    own, want = stored.trace(ids, layers, check), live.trace(ids, layers, check)
    found = [error(own.logits, want.logits)]
    found += [error(own.patterns[layer], pattern) for layer, pattern in want.patterns.items()]
    last = live.n_layers - 1, live.info.n_heads - 1
    one, other = stored.head(*last), live.head(*last)
    return max(*found, *(error(getattr(one, part), getattr(other, part)) for part in ("W_Q", "W_K", "W_V", "W_O")))


def same_tokens(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether two readings of one tokenizer agree on the vocabulary and on a text with something of everything."""
    if one.digest() != other.digest() or one.bos_id != other.bos_id or one.special_ids != other.special_ids:
        return False
    try:
        return not isinstance(one, HubTokenizer) or one.split(PROBE) == other.split(PROBE)
    except ModelError:
        return True  # a vocabulary without the bytes for it
