"""``python -m tui.pages``: the README's table of views and its list of exports; ``python -m tui.commands``: the
keys."""

from __future__ import annotations

from . import every, exports


def view_table() -> str:
    """Key, title, cell and meaning of every page, in Markdown."""
    lines = ["| view | cell | what it says |", "| --- | --- | --- |"]
    for page in every():
        cell, meaning = page.says
        lines.append(f"| `{page.key}` {page.title} | {cell} | {meaning} |")
    return "\n".join(lines)


def export_names() -> str:
    """What pages and their side panels export, in Markdown."""
    return ", ".join(f"`{name}`" for name in exports())


if __name__ == "__main__":
    print(view_table(), export_names(), sep="\n\n")
