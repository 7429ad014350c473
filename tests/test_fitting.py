"""Sentences in the room there is: whole words, whole values, an ellipsis where something is left out."""

from __future__ import annotations

import random

from tui.phrases import in_room
from tui.text import fitting, width

SENTENCE = "row = query, column = key: share of the query's attention, and 日本語 beside it"


def test_a_sentence_is_broken_between_words() -> None:
    for columns in range(4, 100):
        for lines in (1, 2, 3):
            shown = fitting(SENTENCE, columns, lines).split("\n")
            assert len(shown) <= lines
            assert all(width(line) <= columns for line in shown)
            whole = " ".join(shown) == SENTENCE
            assert whole or shown[-1].endswith("…")
    assert fitting("", 10, 1) == ""


def test_parts_go_whole_the_last_first() -> None:
    parts = ["softmax(scaled) = pattern ±2e-08", "concat(z) W_O = Σ z_h W_O^h ±1e-05", "attn_scale 5.66"]
    text = "  ·  ".join(parts)
    assert fitting(text, 200, 1, "  ·  ") == text
    assert fitting(text, 80, 1, "  ·  ") == "  ·  ".join(parts[:2])
    assert fitting(text, 50, 1, "  ·  ") == parts[0]
    assert fitting(text, 20, 1, "  ·  ") == "softmax(scaled) = p…"


def test_the_value_stays_and_the_name_shrinks() -> None:
    line = [
        (" a very long name of a cell that nobody reads whole ", "bold"),
        ("  pattern 0.659", "a"),
        ("  QK 6.35", "b"),
    ]
    assert in_room(line, 200) == line
    for columns in range(25, 75):
        shown = in_room(line, columns)
        assert sum(width(text) for text, _ in shown) <= columns
        assert shown[1] == line[1], "the first value"
        assert columns < 40 or shown[2] == line[2]
    generator = random.Random(0)
    for _ in range(300):
        line = [("x" * generator.randint(0, 40), "")] + [("y" * generator.randint(0, 30), "") for _ in range(3)]
        columns = generator.randint(1, 60)
        shown = in_room(line, columns)
        assert sum(width(text) for text, _ in shown) <= columns
        assert all(piece in line for piece in shown[1:]), "values are whole or gone"
    assert in_room([], 3) == []
