"""OSC 52 as terminals, tmux and GNU screen take it."""

from __future__ import annotations

import base64

import pytest

from tui import clipboard

TEXT = "a\tb\n·Paris \x1b[31m"


def decoded(sequence: str) -> str:
    assert sequence.startswith("\x1b]52;c;")
    assert sequence.endswith("\a")
    return base64.b64decode(sequence[7:-1]).decode("utf-8")


def test_plain() -> None:
    assert decoded(clipboard.sequence(TEXT, {})) == TEXT


def test_tmux_gets_it_for_itself_and_to_hand_on() -> None:
    sequence = clipboard.sequence(TEXT, {"TMUX": "/tmp/tmux-0/default,1,0", "STY": "1.pts"})
    plain, _, inner = sequence.partition("\x1bPtmux;")
    assert decoded(plain) == TEXT
    assert inner.endswith("\x1b\\")
    assert decoded(inner.removesuffix("\x1b\\").replace("\x1b\x1b", "\x1b")) == TEXT


def test_screen_hands_it_on_in_pieces() -> None:
    long = TEXT * 100
    sequence = clipboard.sequence(long, {"STY": "1.pts"})
    pieces = sequence.split("\x1b\\")
    assert pieces.pop() == ""
    assert all(piece.startswith("\x1bP") and len(piece) <= 242 for piece in pieces)
    assert decoded("".join(piece[2:] for piece in pieces)) == long


def test_too_long_is_not_sent() -> None:
    assert clipboard.sequence("a" * clipboard.MOST, {})
    assert len(clipboard.sequence("a" * clipboard.MOST, {})) < 100_000
    assert clipboard.sequence("é" * (clipboard.MOST // 2 + 1), {}) == ""


@pytest.mark.parametrize(("text", "said"), [("", "0 bytes"), ("a", "1 byte"), ("é", "2 bytes"), ("a" * 1234, "1.2 kB")])
def test_size(text: str, said: str) -> None:
    assert clipboard.size(text) == said


def test_broken_text_is_sent_as_it_can_be() -> None:
    assert decoded(clipboard.sequence("a\udce9", {})) == "a?"
