"""``tokenizer.json`` read by ``tokenizers`` alone: transformers takes half a second to import.

Where the file does not say what transformers would (a tokenizer class with defaults of its own, no ``tokenizer.json``),
transformers is asked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .find import Found
from .tokens import HubTokenizer, ListTokenizer, Tokenizer

NAMED = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
NO_DEFAULTS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Tokenizer classes of transformers that name no special token by themselves."""


class TokenizerFile:
    """What ``HubTokenizer`` asks of a tokenizer, by the names that transformers has for it."""

    def __init__(self, folder: Path, named: dict[str, str]) -> None:
        """``named``: special tokens by what they are for."""
        from tokenizers import Tokenizer as Fast

        self.backend_tokenizer = Fast.from_file(str(folder / "tokenizer.json"))
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.added_tokens_decoder = self.backend_tokenizer.get_added_tokens_decoder()
        ids = {name: self.backend_tokenizer.token_to_id(text) for name, text in named.items()}
        self.all_special_ids = [i for i in ids.values() if i is not None]
        self.bos_token_id, self.unk_token_id = ids.get("bos_token"), ids.get("unk_token")

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    def __call__(self, text: str, add_special_tokens: bool = False, verbose: bool = False) -> dict[str, list[int]]:
        return {"input_ids": self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def convert_ids_to_tokens(self, token_ids: int | list[int]) -> Any:
        """A token, or each of several, as the vocabulary spells it; None where there is none."""
        if isinstance(token_ids, int):
            return self.backend_tokenizer.id_to_token(token_ids)
        return [self.backend_tokenizer.id_to_token(one) for one in token_ids]


def file_tokens(found: Found, d_vocab: int, n_ctx: int) -> Tokenizer | None:
    """The folder's tokenizer without transformers; None where transformers may see more in it than its files say."""
    bos = found.config.get("bos_token_id")
    bos_id = bos if isinstance(bos, int) and 0 <= bos < d_vocab else None
    lens = found.kind == "transformerlens"
    if not (found.folder / "tokenizer.json").exists():
        return _without_file(found, d_vocab, n_ctx, bos_id) if lens else None
    given = _read(found.folder / "tokenizer_config.json")
    if given.get("chat_template") or (found.folder / "chat_template.jinja").exists():
        return None  # transformers applies it
    more = _read(found.folder / "special_tokens_map.json")
    said = "bos_token" in given or "bos_token" in more or given.get("tokenizer_class") in NO_DEFAULTS
    if not said and not lens:
        return None
    both = {**more, **{name: value for name, value in given.items() if value is not None}}
    texts = {name: _content(both.get(name)) for name in NAMED}
    try:
        file = TokenizerFile(found.folder, {name: text for name, text in texts.items() if text is not None})
    except Exception:  # tokenizers raises a bare Exception; the loading way says what is wrong with the file
        return None
    return HubTokenizer(file, d_vocab, n_ctx, bos_id if lens else None)


def _without_file(found: Found, d_vocab: int, n_ctx: int, bos_id: int | None) -> Tokenizer:
    from .checkpoint import read_vocabulary

    if (strings := read_vocabulary(found.folder)) is not None:
        return ListTokenizer(strings, d_vocab, n_ctx, bos_id)
    return Tokenizer(d_vocab, n_ctx, bos_id, () if bos_id is None else (bos_id,))


def _read(file: Path) -> dict[str, Any]:
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return given if isinstance(given, dict) else {}


def _content(token: Any) -> str | None:
    """A special token's text, in either of the forms that it is written in."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None
