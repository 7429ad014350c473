"""Text to token ids and back, with everything that a terminal may send."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.folders import WORDS, llama_tokenizer
from tui.models.errors import ModelError
from tui.models.live import LiveModel
from tui.models.tokens import HubTokenizer, ListTokenizer, Tokenizer, spelled

BOS = 269
FRANCE, PARIS = 256 + WORDS.index("France"), 256 + WORDS.index("Paris")


def test_prompt(gpt2: LiveModel) -> None:
    tokens = gpt2.tokens.encode(" the capital of France is", bos=True)
    assert tokens.ids == (BOS, 256, 257, 258, 259, 261)
    assert tokens.texts == ("<|bos|>", " the", " capital", " of", " France", " is")
    assert tokens.special == (True, False, False, False, False, False)
    assert tokens.bos
    assert not gpt2.tokens.encode(" the", bos=False).bos


def test_empty_prompt(gpt2: LiveModel) -> None:
    assert gpt2.tokens.encode("", bos=True).ids == (BOS,)
    with pytest.raises(ModelError, match="The prompt is empty"):
        gpt2.tokens.encode("", bos=False)


def test_too_long_is_refused_not_cut(gpt2: LiveModel) -> None:
    assert len(gpt2.tokens.encode("a" * 32, bos=False)) == 32
    with pytest.raises(ModelError) as raised:
        gpt2.tokens.encode("a" * 32, bos=True)
    assert raised.value.message == "The prompt is 33 tokens long, but this model takes at most 32."
    assert raised.value.hint.startswith("Shorten it by 1 tokens")


def test_ten_thousand_characters(gpt2: LiveModel) -> None:
    start = time.perf_counter()
    with pytest.raises(ModelError, match="10000 tokens long"):
        gpt2.tokens.encode("x" * 10_000, bos=False)
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x07\x1b[31m\x9b",
        "[bold red]x[/]",
        "\r\n\t ",
        "日本語",
        "👩‍👩‍👧",
        "e\u0301\u200d\u202e",
        "\ufeff",
        "«»“”",
    ],
)
def test_any_text_is_ordinary_text(gpt2: LiveModel, text: str) -> None:
    tokens = gpt2.tokens.encode(text, bos=False)
    assert gpt2.tokens._tokenizer.decode(list(tokens.ids), clean_up_tokenization_spaces=False) == text  # type: ignore[attr-defined]
    assert not any(tokens.special)
    assert gpt2.trace(tokens.ids).logits.isfinite().all()


def test_lone_surrogate(gpt2: LiveModel) -> None:
    """A terminal that sends broken UTF-8 gives such characters."""
    assert gpt2.tokens.encode("a\udce9b", bos=False).texts == ("a", "?", "b")


def test_incomplete_characters_are_spelled(gpt2: LiveModel) -> None:
    assert gpt2.tokens.encode("é", bos=False).texts == ("<0xC3>", "<0xA9>")
    assert spelled(b" \xe2\x82") == " <0xE2><0x82>"
    assert spelled("a€b".encode() + b"\xff") == "a€b<0xFF>"
    assert spelled(b"") == ""


def test_special_tokens_typed_as_text(gpt2: LiveModel) -> None:
    """As in the tokenizer itself: the spelling of a special token is that token."""
    tokens = gpt2.tokens.encode("<|bos|> the", bos=False)
    assert tokens.ids == (BOS, 256)
    assert tokens.special == (True, False)
    assert not tokens.bos


def test_words(gpt2: LiveModel) -> None:
    tokens = gpt2.tokens.words("France, Paris,king , a")
    assert tokens.texts == (" France", " Paris", " king", "a")
    assert not tokens.bos
    assert gpt2.tokens.single("France") == FRANCE


def test_word_of_several_tokens(gpt2: LiveModel) -> None:
    with pytest.raises(ModelError) as raised:
        gpt2.tokens.words("France, Rome")

    split = '" " "R" "o" "m" "e" (without the blank before it: "R" "o" "m" "e")'
    assert raised.value.message == f'"Rome" is 5 tokens: {split}.'
    token = gpt2.tokens.encode("R", bos=False).ids[0]
    assert raised.value.hint == f'Write a word that is one token, or a token\'s id: #{token} is "R".'
    assert gpt2.tokens.words(f"France, #{token}").texts == (" France", "R")


@pytest.mark.parametrize("text", ["1,2,3", "1:4", "1,2:4", "1:2,2:4,", " 1,2,3 "])
def test_ids_and_ranges(gpt2: LiveModel, text: str) -> None:
    assert gpt2.tokens.words(text).ids == (1, 2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The token list is empty."),
        (" , ,", "The token list is empty."),
        (",", "The token list is empty."),
        ("5:5", '"5:5" is an empty range of token ids.'),
        ("7:5", '"7:5" is an empty range of token ids.'),
        ("1:2:3", '"1:2:3" is not a range of token ids.'),
        (":3", '":3" is not a range of token ids.'),
        ("0:271", "Token id 270 does not exist in this model."),
        ("270", "Token id 270 does not exist in this model."),
        ("9" * 30, f"Token id {'9' * 30} does not exist in this model."),
    ],
)
def test_token_lists_that_are_none(gpt2: LiveModel, text: str, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        gpt2.tokens.words(text)
    assert raised.value.message == message
    assert raised.value.hint


def test_a_word_in_other_digits_is_a_word(gpt2: LiveModel) -> None:
    with pytest.raises(ModelError, match="is 3 tokens"):
        gpt2.tokens.words("٣")


def test_texts_of_the_vocabulary(gpt2: LiveModel) -> None:
    texts = gpt2.tokens.all_texts
    assert len(texts) == 270
    assert texts[FRANCE] == " France"
    assert texts[BOS] == "<|bos|>"
    assert gpt2.tokens.named([FRANCE, PARIS]).texts == (" France", " Paris")
    for bad in (-1, 270):
        with pytest.raises(ModelError, match=f"Token id {bad} does not exist"):
            gpt2.tokens.text(bad)


def test_no_tokenizer() -> None:
    tokens = Tokenizer(d_vocab=10, n_ctx=4)
    assert tokens.encode("1 2, 3", bos=False).ids == (1, 2, 3)
    assert tokens.words("0:3").texts == ("0", "1", "2")
    assert tokens.words("7").ids == (7,)
    for text, message in (
        ("a b", '"a" is not a token id, and this model has no tokenizer.'),
        ("10", "Token id 10 does not exist in this model."),
        ("1 2 3 4 5", "The prompt is 5 tokens long, but this model takes at most 4."),
        ("   ", "The prompt is empty."),
    ):
        with pytest.raises(ModelError) as raised:
            tokens.encode(text, bos=False)
        assert raised.value.message == message
    with pytest.raises(ModelError, match="no BOS token"):
        tokens.encode("1", bos=True)


def test_list_of_strings() -> None:
    tokens = ListTokenizer(["<bos>", "+", " cat", "cat", "7"], d_vocab=6, n_ctx=8, bos_id=0)
    assert tokens.encode("cat + 7", bos=True).ids == (0, 2, 1, 4)
    with pytest.raises(ModelError, match='"The" is not in this model') as raised:
        tokens.encode("The cat", bos=False)
    assert raised.value.hint.startswith("Its tokens are listed in vocab.json: <bos> + ")
    assert tokens.encode("cat", bos=True).special == (True, False)
    assert tokens.text(5) == "<5>"
    with pytest.raises(ModelError, match=r'"dog" is not in this model.s vocabulary'):
        tokens.words("dog")


def test_sentencepiece_style(tmp_path: Path) -> None:
    """Llama 2's kind: ``▁France`` is a word with its space, bytes are ``<0x0A>``."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {piece: i for i, piece in enumerate(["<unk>", "<0x0A>", "<0xE2>", "▁France", "▁is", "x", "▁"])}
    fast = Fast(models.WordLevel(vocab, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.decoder = decoders.Metaspace()
    tokens = HubTokenizer(PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="<unk>"), d_vocab=8, n_ctx=8)
    assert tokens.encode("France is", bos=False).texts == (" France", " is")
    assert [tokens.text(i) for i in (1, 2, 7)] == ["\n", "<0xE2>", "<7>"]
    assert tokens.words("France").ids == (3,)
    with pytest.raises(ModelError, match='"Rome" is not in this model'):
        tokens.words("Rome")


def llama_tokens() -> HubTokenizer:
    """As Llama's ``tokenizer.json``."""
    from transformers import PreTrainedTokenizerFast

    fast = llama_tokenizer()
    made = PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="<unk>")
    return HubTokenizer(made, len(fast.get_vocab()), 32)


@pytest.mark.parametrize(
    ("word", "spaced", "alone"),
    [
        ("him", (" h", "im"), ("h", "im")),
        ("her", (" her",), ("he", "r")),
        ("a", (" a",), ("a",)),
        ("9", (" ", "9"), ("9",)),
        ("him her", (" h", "im", " her"), ("h", "im", " her")),
        (".", (" ", "."), (".",)),
        ("é", (" ", "<0xC3>", "<0xA9>"), ("<0xC3>", "<0xA9>")),
    ],
)
def test_a_word_goes_on_a_text(word: str, spaced: tuple[str, ...], alone: tuple[str, ...]) -> None:
    """Not as it would stand at a text's beginning, where such a tokenizer puts a blank before the blank."""
    tokens = llama_tokens()
    forms = tokens.forms(word)
    assert tuple(tokens.named(ids).texts for ids in forms) == (spaced, alone)
    for ids, between in zip(forms, (" ", ""), strict=True):
        assert tokens.encode(f"a her\n{between}{word}", bos=False).ids[-len(ids) :] == tuple(ids)


def test_a_word_after_a_blank_is_preferred() -> None:
    tokens = llama_tokens()
    assert tokens.words("her, a, 9").texts == (" her", " a", "9")
    with pytest.raises(ModelError, match='"him" is 2 tokens: " h" "im"'):
        tokens.single("him")


def test_words_of_other_tokenizers_go_on_a_text(model_of: Callable[[str], LiveModel]) -> None:
    for name in ("gpt2", "llama"):
        tokens = model_of(name).tokens
        assert tuple(tokens.named(ids).texts for ids in tokens.forms("Rome")) == ((" ", *"Rome"), tuple("Rome"))
        assert tokens.forms("France") == ([FRANCE], [*map(tokens.single, "France")])


def _gpt2_like() -> HubTokenizer:
    """Bytes and a few words; ``<|endoftext|>`` is BOS and EOS."""
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Fast
    from transformers import PreTrainedTokenizerFast

    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġthe", "Ġking", "<|endoftext|>"]
    fast = Fast(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges=[], ignore_merges=True))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    end = "<|endoftext|>"
    made = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token=end, eos_token=end, unk_token=end)
    return HubTokenizer(made, d_vocab=len(pieces), n_ctx=16)


def _llama_like() -> HubTokenizer:
    """``▁the`` is a word with its space, and the post-processor adds ``<s>`` where it is let."""
    from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
    from tokenizers import Tokenizer as Fast
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", "▁the", "▁king", "▁"]
    fast = Fast(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.decoder = decoders.Metaspace()
    fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast.add_special_tokens([AddedToken(piece, special=True) for piece in pieces[:3]])
    made = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    return HubTokenizer(made, d_vocab=len(pieces), n_ctx=16)


@pytest.mark.parametrize(("make", "bos"), [(_gpt2_like, "<|endoftext|>"), (_llama_like, "<s>")])
def test_a_bos_in_the_text_is_the_only_one(make: Callable[..., HubTokenizer], bos: str) -> None:
    tokens = make()
    prepended, bare = tokens.encode(" the king", bos=True), tokens.encode(" the king", bos=False)
    assert prepended.ids == (tokens.bos_id, *bare.ids)
    assert (prepended.bos, prepended.bos_from, bare.bos, bare.bos_from) == (True, "", False, "")
    for asked in (True, False):
        typed = tokens.encode(f"{bos} the king", bos=asked)
        assert typed.ids == prepended.ids, "one BOS, asked for or not"
        assert (typed.bos, typed.bos_from) == (asked, "text")
        alone = tokens.encode(bos, bos=asked)
        assert (alone.ids, alone.bos_from) == ((tokens.bos_id,), "text")
    # What stands elsewhere or is written twice is the text's own.
    assert tokens.encode(f" the{bos}", bos=True).ids.count(tokens.bos_id) == 2
    assert tokens.encode(f"{bos}{bos} the", bos=True).ids[:3].count(tokens.bos_id) == 2
    assert tokens.encode(bos[:2], bos=True).bos_from == ""
    assert tokens.encode("", bos=True).bos_from == ""
    # A full context has room for the BOS that is there.
    full = bos + "".join([" the"] * 15)
    assert len(tokens.encode(full, bos=True)) == 16


def test_a_tokenizer_that_puts_a_bos_there_by_itself() -> None:
    """Its normalizer does, whether special tokens are asked for or not."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fast = Fast(models.WordLevel({"<unk>": 0, "<s>": 1, "the": 2, "king": 3}, unk_token="<unk>"))
    fast.normalizer = normalizers.Prepend("<s> ")
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", unk_token="<unk>")
    tokens = HubTokenizer(made, d_vocab=4, n_ctx=8)
    for asked in (True, False):
        encoded = tokens.encode("the king", bos=asked)
        assert (encoded.ids, encoded.bos_from) == ((1, 2, 3), "tokenizer")


def test_a_bos_in_prompts_without_a_tokenizer() -> None:
    listed = ListTokenizer(["<bos>", "+", " cat"], d_vocab=3, n_ctx=8, bos_id=0)
    assert listed.encode("<bos> cat", bos=True) == replace(listed.encode("cat", bos=True), bos_from="text")
    numbers = Tokenizer(d_vocab=9, n_ctx=4, bos_id=7)
    assert numbers.encode("7 1", bos=True) == replace(numbers.encode("1", bos=True), bos_from="text")
    assert numbers.encode("1 7", bos=True).ids == (7, 1, 7)
