"""The README, as tests read it."""

from __future__ import annotations


def table(text: str, title: str) -> list[tuple[str, ...]]:
    """Rows of the first table under the heading that begins so, without its head."""
    lines = text[text.index(f"\n{title}") :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| --- "))
    rows: list[tuple[str, ...]] = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("| ").split(" | ")))
    return rows
