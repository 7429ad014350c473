"""What puts a text on the clipboard of the terminal that the user sits at: OSC 52, through tmux and GNU screen.

A terminal never answers whether it took the text, and many take none: so it is *sent*, never copied. tmux takes the
sequence itself where its ``set-clipboard`` is ``on``, and hands it on inside a DCS where ``allow-passthrough`` is: it
gets both. screen hands on a DCS, in pieces that fit its buffer.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

MOST = 74_000
"""Bytes of text that terminals take: hterm, tmux and others drop a sequence of more than 100,000 characters."""
_PIECE = 240
"""Characters of a DCS that every version of GNU screen has room for."""


def sequence(text: str, environ: Mapping[str, str]) -> str:
    """What is written to the terminal; "" for a text that is too long."""
    data = text.encode("utf-8", "replace")
    if len(data) > MOST:
        return ""
    plain = f"\x1b]52;c;{b64encode(data).decode('ascii')}\a"
    if "TMUX" in environ:
        inner = plain.replace("\x1b", "\x1b\x1b")
        return f"{plain}\x1bPtmux;{inner}\x1b\\"
    if "STY" in environ:
        pieces = (plain[start : start + _PIECE] for start in range(0, len(plain), _PIECE))
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return plain


def size(text: str) -> str:
    """``312 bytes``, ``1.2 kB``."""
    count = len(text.encode("utf-8", "replace"))
    return f"{count} byte{'s' if count != 1 else ''}" if count < 1000 else f"{count / 1000:.1f} kB"
