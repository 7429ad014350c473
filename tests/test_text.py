"""Token text that a terminal cannot take for a command, and prompts that keep what was typed."""

from __future__ import annotations

import unicodedata

import pytest
from rich.cells import cell_len

from tui.text import against, field_text, in_order, in_words, is_byte, narrow, prompt_text, shorten, visible, width


def test_every_character_of_the_basic_plane_is_made_safe() -> None:
    for code in range(0x10000):
        shown = visible(chr(code))
        assert shown, hex(code)
        for char in shown:
            assert unicodedata.category(char)[0] not in "CZM", hex(code)


@pytest.mark.parametrize(
    ("text", "shown"),
    [(" France", "·France"), ("\n", "⏎"), ("\t", "⇥"), ("\x1b[31m", "␛[31m"), ("", "∅"), ("e\u0301", "e<U+0301>"),
     ("<|bos|>", "⟨bos⟩"), ("日本", "日本"), ("[bold]", "[bold]")],
)  # fmt: skip
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [(" France", "·France"), ("9", '"9"'), (" 42", '"·42"'), ("+", '"+"'), (" ", '"·"'), ("1st", "1st"),
     ("<|bos|>", "⟨bos⟩"), ("日本", "日本"), ("", '"∅"'), ("<0xE2>", "<0xE2>"), ("\x1b[3", '"␛[3"')],
)  # fmt: skip
def test_a_token_in_a_sentence(text: str, shown: str) -> None:
    assert in_words(text) == shown


def test_a_target_in_words() -> None:
    assert in_words("<s>", special=True) == "⟨s⟩"
    assert against(["·her"], ["·h"]) == "·her − ·h"
    assert against(["·Paris", "·Rome"], []) == "·Paris, ·Rome"
    assert against(['"9"'], ['"2"']) == '"9" vs "2"'
    assert against(["·Paris"], ['"−"']) == '·Paris vs "−"'


@pytest.mark.parametrize("text", ["France", "日本語", "a日b本c", "·France", "⟨bos⟩"])
def test_widths_agree_with_the_library_that_draws(text: str) -> None:
    assert width(text) == cell_len(text)
    for columns in range(10):
        assert cell_len(shorten(text, columns)) <= columns


def test_a_field_gives_back_the_prompt_that_it_was_given() -> None:
    prompt = "".join(map(chr, range(0x100))) + "日本 ⏰\n\tend"
    field = field_text(prompt)
    assert prompt_text(field) == prompt
    assert not any(unicodedata.category(char) == "Cc" for char in field)


@pytest.mark.parametrize(("text", "byte"), [("<0xE2>", True), ("<0xE2><0x80>", True), ("<0x>", False), (" a", False)])
def test_bytes_are_known_by_their_form(text: str, byte: bool) -> None:
    assert is_byte(text) is byte


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (("<0xE6>", "<0x9D>", "<0xB1>"), ("東₁", "東₂", "東₃")),
        (("<0xE6><0x9D>", "<0xB1>", " a"), ("東₁", "東₂", " a")),
        ((" <0xE6>", "<0x9D><0xB1>京"), (" 東₁", "東₂京")),
        (("<0xC3>", "<0xA9>", "<0xC3>", "<0xA9>"), ("é₁", "é₂", "é₁", "é₂")),
        (("<0xF0>", "<0x9F>", "<0x91>", "<0xA9>"), ("👩₁", "👩₂", "👩₃", "👩₄")),
        (("<0xE6>", "<0x9D>", " town", "<0xB1>"), ("<0xE6>", "<0x9D>", " town", "<0xB1>")),
        (("<0xB1>", "<0xE6>", "<0x9D>", "<0xB1>"), ("<0xB1>", "東₁", "東₂", "東₃")),
        (("<0xFF>", "a\n", "", "<0x>"), ("<0xFF>", "a\n", "", "<0x>")),
        ((), ()),
    ],
)
def test_bytes_of_one_character_share_it(texts: tuple[str, ...], shown: tuple[str, ...]) -> None:
    assert in_order(texts) == shown


def test_every_character_of_several_bytes() -> None:
    """Whatever is cut into bytes is put together again, each byte under its number."""
    for char in "éß東京🙂٣\u0301\u202e":
        raw = char.encode()
        assert in_order([f"<0x{byte:02X}>" for byte in raw]) == tuple(char + "₁₂₃₄"[n] for n in range(len(raw)))


@pytest.mark.parametrize(("text", "left"), [("東₁", "₁"), ("<0xE6>", "E6"), (" town", " town"), ("₁", "₁"), ("", "")])
def test_what_tells_a_byte_in_no_room(text: str, left: str) -> None:
    assert narrow(text) == left
