"""The pages there are, in the order of their tabs. What is known of all of them is asked here.

A page is registered once; tabs, keys, help, palette, export and the README's tables follow from it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..declared import Export, Question
from ..page import Page
from ..selection import Selection
from . import attribution, chosen, compose, continuing, heads, knockout, panels, patching, paths, why, wiring
from .answer import ANSWER
from .lens import LensPage
from .neurons import NeuronsPage
from .ov import OVPage
from .pairs import PairsPage
from .pattern import PatternPage
from .qk import QKPage
from .residual import ResidualPage
from .sources import SourcesPage
from .svd import SVDPage

_PAGES: dict[str, Page] = {}


def register(page: Page) -> None:
    """Offer a page. ValueError if its name, a key, an export or a move is another's."""
    taken = {claim for other in _PAGES.values() for claim in _claims(other)}
    taken |= {("export", export.name) for export in (*panels.EXPORTS, continuing.EXPORT, chosen.EXPORT)}
    if both := sorted(taken.intersection(_claims(page))):
        raise ValueError(f"{page.name} claims what is another's: {', '.join(' '.join(claim) for claim in both)}")
    _PAGES[page.name] = page


def _claims(page: Page) -> list[tuple[str, str]]:
    """What no other page may have."""
    keys = [page.key, *(key for command in page.commands for key in command.keys)]
    return [
        ("name", page.name), *(("key", key) for key in keys), *(("export", export.name) for export in page.exports),
        *(("move", name) for name in page.moves), *(("command", command.id) for command in page.commands),
    ]  # fmt: skip


def withdraw(page: Page) -> None:
    """No longer offer a page."""
    del _PAGES[page.name]


def every() -> tuple[Page, ...]:
    """All pages, in the order of their tabs."""
    return tuple(_PAGES.values())


def of(s: Selection) -> Page:
    """The page that is shown."""
    return _PAGES[s.page]


def named(name: str) -> Page:
    """The page of that name. KeyError if there is none."""
    return _PAGES[name]


def with_option(key: str) -> tuple[Page, ...]:
    """Pages that have an option under that key."""
    return tuple(page for page in every() if any(option.key == key for option in page.options))


def over_files() -> tuple[Page, ...]:
    """Pages that exist over a file of prompts."""
    return tuple(page for page in every() if page.has_over and not page.of_pairs)


def questions() -> Iterator[Question]:
    """Questions that pages ask."""
    for page in every():
        yield from page.questions
    yield ANSWER


def exports() -> dict[str, Export]:
    """Headless forms of pages, modes and side panels, by name."""
    beside = (*panels.EXPORTS, continuing.EXPORT, chosen.EXPORT)
    return {export.name: export for page in every() for export in page.exports} | {e.name: e for e in beside}


for _page in (
    PatternPage(), QKPage(), OVPage(), ResidualPage(), LensPage(), attribution.PAGE, heads.PAGE, compose.PAGE,
    patching.PAGE, paths.PAGE, SourcesPage(), why.PAGE, knockout.PAGE, NeuronsPage(), PairsPage(), SVDPage(),
    wiring.PAGE,
):  # fmt: skip
    register(_page)
