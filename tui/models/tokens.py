"""Text and token ids, both ways.

Three kinds of vocabulary: a Hugging Face tokenizer, a plain list of token strings (``vocab.json`` beside a
TransformerLens checkpoint), or none at all, where a prompt is typed as token ids. Text is ordinary text: control
characters, markup and emoji are tokenized like anything else. Only the spelling of a special token (``<|endoftext|>``)
becomes that token, as in the tokenizer itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Any

from ..results import Split, Tokens
from . import chat
from .errors import ModelError

_IDS = re.compile(r"[0-9,:]+")
_ID = re.compile(r"#([0-9]{1,99})")
DIGESTED = 1000
"""Tokens that a vocabulary is known by."""
NAMED = 5
"""Output classes that a sentence lists."""
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """Base: token ids typed as numbers. ``d_vocab`` is the model's, which may be larger than the tokenizer's."""

    def __init__(self, d_vocab: int, n_ctx: int, bos_id: int | None = None, special_ids: Sequence[int] = ()) -> None:
        self.d_vocab, self.n_ctx, self.bos_id = d_vocab, n_ctx, bos_id
        self.special_ids = frozenset(special_ids)
        self.size = d_vocab
        """Ids from here on belong to no token: the model's vocabulary is padded."""
        self.notes: tuple[str, ...] = ()
        """What is worth saying of it when the model is opened."""
        self.no_chat = chat.NO_TOKENIZER
        """Why a prompt cannot be a message of a chat; empty: it can."""

    def encode(self, text: str, bos: bool, as_chat: bool = False) -> Tokens:
        """A prompt. ModelError when it is empty, longer than the context, or cannot be tokenized; nothing is cut.

        ``bos``: begins with one; where the text brings its own, or the tokenizer puts one there, it has no second.
        ``as_chat``: the text is a user's message in the model's chat template, which alone says whether there is a BOS.
        """
        if as_chat:
            return self._chat(text)
        ids = self._ids(text) if text else []
        if bos and self.bos_id is None:
            raise ModelError("This model's tokenizer has no BOS token.", "Switch BOS off.")
        brought = self._bos_from(text, ids)
        if bos and self.bos_id is not None and not brought:
            ids = [self.bos_id, *ids]
        if not ids:
            raise ModelError("The prompt is empty.", "Type some text, or switch BOS on.")
        self._fits(ids)
        return replace(self.named(ids, bos), bos_from=brought)

    def _fits(self, ids: Sequence[int]) -> None:
        if len(ids) > self.n_ctx:
            raise ModelError(
                f"The prompt is {len(ids)} tokens long, but this model takes at most {self.n_ctx}.",
                f"Shorten it by {len(ids) - self.n_ctx} tokens; nothing is cut for you.",
            )

    def _chat(self, text: str) -> Tokens:
        raise ModelError(self.no_chat)

    def _bos_from(self, text: str, ids: Sequence[int]) -> str:
        """Who put a BOS before ``ids``, the tokens of ``text``: ``text``, ``tokenizer`` or, where nobody did, empty."""
        if self.bos_id is None or not ids or ids[0] != self.bos_id:
            return ""
        return "text" if text.lstrip().startswith(self.text(self.bos_id).strip()) else "tokenizer"

    def words(self, text: str, kind: str = "either") -> Tokens:
        """``"France, Paris, king"`` → one token a word, with a leading space if there is such a token, else without.

        ``#17`` is an id. ``0:52`` and ``1,2,3`` (digits, commas and colons only) are token ids, ``a:b`` leaving b out.
        No BOS. ``kind`` says where a text can only be ``words`` (the year 1865 is one) or ``ids`` (then with blanks
        between them).
        """
        compact = "".join(text.split()) if kind == "ids" else text.strip()
        if kind == "ids" or (kind == "either" and compact and _IDS.fullmatch(compact)):
            ids = self._listed(compact)
        else:
            words = [word for part in text.split(",") if (word := part.strip())]
            ids = [int(match[1]) if (match := _ID.fullmatch(word)) else self.single(word) for word in words]
        if not ids:
            raise ModelError("The token list is empty.", "Write words (France, Paris) or token ids (0:52 or 1,2,3).")
        return self.named(ids, bos=False)

    def named(self, ids: Sequence[int], bos: bool = False) -> Tokens:
        """Token ids with their texts. ModelError for an id that does not exist."""
        texts = tuple(self.text(i) for i in ids)
        return Tokens(tuple(ids), texts, tuple(i in self.special_ids for i in ids), bos)

    def split(self, text: str) -> list[int]:
        """The ids of a text, as long as it may be. ModelError where it cannot be tokenized."""
        return self._ids(text)

    def digest(self) -> str:
        """Equal for equal vocabularies, from their sizes and every so many tokens: all 50,000 would take 0.1 s."""
        texts = self.named(range(0, self.d_vocab, max(1, self.d_vocab // DIGESTED))).texts
        return hashlib.blake2b(repr((self.d_vocab, self.size, texts)).encode(), digest_size=16).hexdigest()

    def text(self, token_id: int) -> str:
        """One token as it reads in a text; bytes of an incomplete character as ``<0xE2>``."""
        if not 0 <= token_id < self.d_vocab:
            raise ModelError(
                f"Token id {token_id} does not exist in this model.", f"Ids run from 0 to {self.d_vocab - 1}."
            )
        return self._text(token_id)

    @cached_property
    def all_texts(self) -> tuple[str, ...]:
        """Texts of the whole vocabulary, made at first use (50,000 tokens: 0.1 s)."""
        return tuple(self._text(i) for i in range(self.d_vocab))

    def forms(self, word: str) -> tuple[list[int], list[int]]:
        """The token ids of ``word`` as it goes on a text, after a blank and without one."""
        ids = self._ids(word)
        return ids, ids

    def single(self, word: str) -> int:
        """The one token that ``word`` is. ModelError with the split where it is several."""
        ids = self._ids(word)
        if len(ids) != 1:
            raise ModelError(f'"{word}" is {len(ids)} token ids; write one a word.', "Separate token ids by commas.")
        return ids[0]

    def _listed(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in text.split(","):
            if not part:
                continue
            ends = part.split(":")
            if len(ends) > 2 or not all(ends):
                raise ModelError(f'"{part}" is not a range of token ids.', "Write 0:52 for the ids 0 to 51.")
            start, stop = (int(ends[0]), int(ends[0]) + 1) if len(ends) == 1 else (int(ends[0]), int(ends[1]))
            if stop > self.d_vocab:
                raise ModelError(
                    f"Token id {stop - 1} does not exist in this model.", f"Ids run from 0 to {self.d_vocab - 1}."
                )
            if stop <= start:
                raise ModelError(f'"{part}" is an empty range of token ids.', "Write 0:52 for the ids 0 to 51.")
            ids += range(start, stop)
        return ids

    def _ids(self, text: str) -> list[int]:
        parts = text.replace(",", " ").split()
        bad = next((p for p in parts if not p.isascii() or not p.isdigit()), None)
        if bad is not None:
            raise ModelError(f'"{bad}" is not a token id, and this model has no tokenizer.', "Type ids, such as 0 1 2.")
        ids = [int(p) for p in parts]
        for i in ids:
            self.text(i)
        return ids

    def _text(self, token_id: int) -> str:
        return str(token_id)


class ListTokenizer(Tokenizer):
    """A list of token strings: a prompt is strings of the list, separated by spaces."""

    def __init__(self, strings: Sequence[str], d_vocab: int, n_ctx: int, bos_id: int | None = None) -> None:
        super().__init__(d_vocab, n_ctx, bos_id, () if bos_id is None else (bos_id,))
        self._strings = tuple(strings)
        self.size = min(d_vocab, len(self._strings))
        if len(self._strings) > d_vocab:
            self.notes = (_larger(len(self._strings), d_vocab, self._strings[d_vocab:]),)
        self._by_text = {text: i for i, text in reversed(list(enumerate(self._strings)))}

    def _ids(self, text: str) -> list[int]:
        return [self.single(part) for part in text.split()]

    def single(self, word: str) -> int:
        for form in (f" {word}", word):
            if form in self._by_text:
                if (token := self._by_text[form]) >= self.d_vocab:
                    raise _outside([(form, token)], self.d_vocab)
                return token
        some, more = " ".join(self._strings[:NAMED]), " …" if len(self._strings) > NAMED else ""
        raise ModelError(
            f'"{word}" is not in this model\'s vocabulary.', f"Its tokens are listed in vocab.json: {some}{more}"
        )

    def _text(self, token_id: int) -> str:
        return self._strings[token_id] if token_id < len(self._strings) else f"<{token_id}>"


class Classes(ListTokenizer):
    """Output classes that are no tokens, by their names: what ``Tokenizer`` is for the outputs of other models."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names, len(names), 0)

    def text(self, token_id: int) -> str:
        if not 0 <= token_id < self.d_vocab:
            raise ModelError(
                f"Output {token_id} does not exist in this model.", f"Outputs are 0 to {self.d_vocab - 1}."
            )
        return self._text(token_id)

    def _ids(self, text: str) -> list[int]:
        return [self.single(text)]  # a name may have blanks in it

    def single(self, word: str) -> int:
        if word in self._by_text:
            return self._by_text[word]
        names = ", ".join((*self.all_texts[:NAMED], *("…" if self.d_vocab > NAMED else ())))
        raise ModelError(f'"{word}" is none of this model\'s outputs.', f"Write one of {names}, or #0 for the first.")


class HubTokenizer(Tokenizer):
    """A Hugging Face tokenizer, fast or slow."""

    def __init__(self, tokenizer: Any, d_vocab: int, n_ctx: int, bos_id: int | None = None) -> None:
        self._tokenizer = tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._byte_level = backend is not None and "ByteLevel" in f"{backend.decoder} {backend.pre_tokenizer}"
        added = {i: str(t) for i, t in tokenizer.added_tokens_decoder.items()}
        self._added = {i: text for i, text in added.items() if i < d_vocab}
        special = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special} | set(tokenizer.all_special_ids)
        bos = tokenizer.bos_token_id if bos_id is None else bos_id
        super().__init__(d_vocab, n_ctx, bos if bos is not None and bos < d_vocab else None, sorted(special))
        self.size = min(d_vocab, len(tokenizer))
        self.no_chat = "" if chat.template_of(tokenizer) else chat.NO_TEMPLATE
        if len(tokenizer) > d_vocab:
            first = tokenizer.convert_ids_to_tokens(list(range(d_vocab, min(len(tokenizer), d_vocab + NAMED))))
            self.notes = (_larger(len(tokenizer), d_vocab, [str(piece) for piece in first]),)

    def _ids(self, text: str) -> list[int]:
        clean = text.encode("utf-8", "replace").decode("utf-8")  # a terminal that sends broken UTF-8: lone surrogates
        ids = list(self._tokenizer(clean, add_special_tokens=False, verbose=False)["input_ids"])
        self._inside(ids)
        return ids

    def _inside(self, ids: Sequence[int]) -> None:
        """Refuse tokens that the model has no embedding for, by their words."""
        if outside := list(dict.fromkeys(i for i in ids if i >= self.d_vocab)):
            pieces = self._tokenizer.convert_ids_to_tokens(outside)
            raise _outside([(self._read(piece), i) for piece, i in zip(pieces, outside, strict=True)], self.d_vocab)

    def _chat(self, text: str) -> Tokens:
        """The tokens that transformers' ``apply_chat_template`` gives, and which of them are the template's."""
        if self.no_chat:
            raise ModelError(self.no_chat)
        whole, start, stop = chat.rendered(self._tokenizer, text.encode("utf-8", "replace").decode("utf-8"))
        fast = bool(getattr(self._tokenizer, "is_fast", False))
        made = self._tokenizer(whole, add_special_tokens=False, verbose=False, return_offsets_mapping=fast)
        ids = list(made["input_ids"])
        self._inside(ids)
        self._fits(ids)
        # A slow tokenizer does not say where its tokens stand.
        spans = made["offset_mapping"] if fast else [(start, stop)] * len(ids)
        template = tuple(not (first < stop and last > start) for first, last in spans)
        bos = self.bos_id is not None and ids[:1] == [self.bos_id]
        return replace(self.named(ids, bos), bos_from="template" if bos else "", chat=True, template=template)

    def forms(self, word: str) -> tuple[list[int], list[int]]:
        return self._behind(("a", ".", "\n"), f" {word}"), self._behind(("\n", "(", "a"), word)

    def _behind(self, starts: Sequence[str], text: str) -> list[int]:
        """The tokens of ``text`` behind a text. SentencePiece puts a blank before everything that it is given, so that
        `` him`` by itself is the three tokens of two blanks and a word."""
        for start in starts:
            before, whole = self._ids(start), self._ids(start + text)
            if before == whole[: len(before)] and len(whole) > len(before):
                return whole[len(before) :]
        return self._ids(text)  # one that melts into every start: as it stands at the beginning of a text

    def single(self, word: str) -> int:
        unknown = self._tokenizer.unk_token_id
        forms = self.forms(word)
        for ids in forms:
            if len(ids) == 1 and ids[0] != unknown:
                return ids[0]
        if min(map(len, forms)) <= 1:
            raise ModelError(f'"{word}" is not in this model\'s vocabulary.', "Write words that are single tokens.")
        raise ModelError(*Split(word, *map(self.named, forms)).problem)

    def _text(self, token_id: int) -> str:
        if token_id in self._added:
            return self._added[token_id]
        piece = self._tokenizer.convert_ids_to_tokens(token_id)
        if piece is None:  # the model's vocabulary is padded beyond the tokenizer's
            return f"<{token_id}>"
        return self._read(piece)

    def _read(self, piece: str | bytes) -> str:
        """A piece of the tokenizer's as it reads in a text."""
        if isinstance(piece, bytes):
            return spelled(piece)
        if self._byte_level:
            table = _byte_of_char()
            if all(char in table for char in piece):
                return spelled(bytes(table[char] for char in piece))
            return str(piece)
        if byte := _BYTE_TOKEN.fullmatch(piece):
            return spelled(bytes([int(byte[1], 16)]))
        if "▁" in piece:
            return str(piece).replace("▁", " ")
        return str(piece)


def _larger(size: int, d_vocab: int, first: Sequence[str]) -> str:
    """What is said at load of a tokenizer that knows more tokens than the model has embeddings for."""
    named = ", ".join(first[:NAMED]) + (", …" if size - d_vocab > NAMED else "")
    return f"the tokenizer has {size} tokens, the model {d_vocab}: text with {named} (ids from {d_vocab}) is refused"


def _outside(found: Sequence[tuple[str, int]], d_vocab: int) -> ModelError:
    named = ", ".join(f'"{text}" ({token})' for text, token in found[:NAMED]) + (", …" if len(found) > NAMED else "")
    return ModelError(
        f"The model has {d_vocab} tokens, fewer than its tokenizer: it has none for {named}.",
        "Leave these words out, or open the model that the tokenizer was saved with.",
    )


def spelled(raw: bytes) -> str:
    """UTF-8 with every byte that belongs to no complete character written ``<0xE2>``."""
    out, rest = "", raw
    while rest:
        try:
            return out + rest.decode("utf-8")
        except UnicodeDecodeError as error:
            bad = rest[error.start : error.end]
            out += rest[: error.start].decode("utf-8") + "".join(f"<0x{byte:02X}>" for byte in bad)
            rest = rest[error.end :]
    return out


@cache
def _byte_of_char() -> dict[str, int]:
    """The printable character that byte-level tokenizers write for each byte (GPT-2's table), inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
