"""Prompts with answers that come with the app, for what the demo model knows. Plain values: see ``prompts.read``."""

from __future__ import annotations

from itertools import permutations

_CAPITALS = (("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo"),
             ("Egypt", "Cairo"), ("Greece", "Athens"), ("Kenya", "Nairobi"))  # fmt: skip
_GIVEN = (("Mary", "John", "store", "drink"), ("Tom", "Anna", "park", "book"), ("James", "Sarah", "garden", "ring"),
          ("Paul", "Laura", "museum", "key"))  # fmt: skip

PROMPTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "capital": tuple(
        (f"The capital of {country} is", city, _CAPITALS[(at + 1) % len(_CAPITALS)][1])
        for at, (country, city) in enumerate(_CAPITALS)
    ),
    "indirect object": tuple(
        (f"When {one} and {two} went to the {place}, {two} gave a {thing} to", one, two)
        for *names, place, thing in _GIVEN for one, two in permutations(names)
    ),
    "induction": tuple(
        (f"{first} {second} {third} {first}", second, third)
        for first, second, third in permutations(("robin", "silk", "volcano"))
    ),
}  # fmt: skip
"""Name → (prompt, answer, distractor). In each set every answer is a distractor as often: with all parts at their means
over the set the logit difference is 0."""
