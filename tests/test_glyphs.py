"""What is drawn instead of signs that a terminal does not show: as wide, legible, and never a sign it lacks."""

from __future__ import annotations

import unicodedata

import pytest

from tui import glyphs

SHOWN = "▸·⟨bos⟩ ─│┌├╭╮╯╰▀▄█▌░▒▓▖▗▘▚▝ − – … ≈ ≤ ≥ ± Σ σ ᵀ ² ‖ ★ ⏎ ⇥ ∅ ↑↓→← ▼ × ÷ 日本 é ē ⣿⠂⡀ 🎉"


@pytest.mark.parametrize(("term", "encoding"), [("linux", "utf-8"), ("linux-16color", "utf-8"), ("xterm", "latin-1"),
                                               ("xterm", "ascii"), ("xterm", "cp437")])  # fmt: skip
def test_every_sign_has_one_that_is_shown(term: str, encoding: str) -> None:
    table = glyphs.table({"TERM": term}, encoding)
    assert table is not None
    made = SHOWN.translate(table)
    if encoding == "utf-8":
        encoding = "cp437"
        made = "".join(char for char in made if char not in "►◄▲▼←↑→↓•¶§")
    made.encode(encoding)


def test_as_many_columns() -> None:
    table = glyphs.table({"TERM": "linux"}, "utf-8")
    assert table is not None
    for char in map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x2000, 3), *range(0x2000, 0x3100), 0x65E5, 0x1F389)):
        wide = unicodedata.east_asian_width(char) in "WF"
        assert len(char.translate(table)) == (2 if wide else 1), hex(ord(char))
    assert "▸ ⟨bos⟩ −1 …".translate(table) == "► <bos> -1 ."


@pytest.mark.parametrize("term", ["xterm", "xterm-256color", "tmux-256color", "a-terminal-of-tomorrow", ""])
def test_other_terminals_show_everything(term: str) -> None:
    assert glyphs.table({"TERM": term}, "UTF-8") is None
