"""Broken files and odd texts, drawn from a seed: a grammar of what is nearly right, and of what nobody would write."""

from __future__ import annotations

import json
import random
from typing import Any

PIECES = (
    "The capital of France is", " Paris", "日本語", "e\u0301", "👩\u200d👧", "\u202e", "\u200b", "\ufeff", "\x00",
    "\x1b[2J", "\x1b]52;c;aGk=\x07", "\x9b31m", "\t", "\n", "\r\n", "\u2028", "<|bos|>", "<|endoftext|>", "[b]", "[/]",
    "{}", "%s", "\\", '"', "'", "0", "-1", "1e999", "نص", "\ud7ff", "\uffff", "\U0010ffff", " " * 40, "a" * 300,
)  # fmt: skip
"""What texts are made of."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**30, 0.5, -0.0, 1e308, "", "x", "Paris", [], {}, [[]], ["a"], {"a": 1}, "\x1b[2J",
    "../..", "/dev/null",
)  # fmt: skip
"""What stands where something else belongs."""


def text(dice: random.Random, most: int = 8) -> str:
    """A text of up to so many pieces."""
    return "".join(dice.choices(PIECES, k=dice.randint(0, most)))


def broken(dice: random.Random, whole: str) -> bytes:
    """A file that was right, after up to three of: cut, doubled, bytes replaced, swapped, put in."""
    data = bytearray(whole.encode("utf-8", "surrogatepass"))
    for _ in range(dice.randint(1, 3)):
        start = dice.randint(0, len(data))
        end = min(len(data), start + dice.choice((1, 1, 2, 8, 64, 1000)))
        match dice.randrange(5):
            case 0:
                del data[start:]
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end]
            case 3:
                data[start:end] = dice.randbytes(end - start)
            case _:
                data[start:start] = text(dice, 2).encode("utf-8", "surrogatepass")
    return bytes(data)


def replaced(dice: random.Random, value: Any) -> Any:
    """A JSON value with one of its parts replaced, left out or put in."""
    if dice.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return dice.choice(VALUES)
    if isinstance(value, list):
        at = dice.randrange(len(value))
        return [*value[:at], *([replaced(dice, value[at])] if dice.random() < 0.8 else []), *value[at + 1 :]]
    key = dice.choice([*value])
    if dice.random() < 0.2:
        return {name: entry for name, entry in value.items() if name != key}
    if dice.random() < 0.1:
        return {**value, text(dice, 1) or "new": dice.choice(VALUES)}
    return {**value, key: replaced(dice, value[key])}


def document(dice: random.Random, value: Any) -> bytes:
    """A JSON file that once held this value: broken as a text or as a value."""
    if dice.random() < 0.5:
        return broken(dice, json.dumps(value))
    return json.dumps(replaced(dice, value)).encode()
