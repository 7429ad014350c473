"""What is drawn of a page and of its side panels: of the changed model, of the clean one, or the difference of the two.

No page knows of the difference: it is the page's own result on both, one minus the other.
"""

from __future__ import annotations

from collections.abc import Callable

from .arrange import difference
from .declared import Cached, Here, Nothing, Panel
from .engine import jobs
from .page import Page
from .results import Result
from .selection import Selection


def here_on(page: Page, s: Selection, cached: Cached) -> Here:
    """A selection on a page with what is drawn of it."""

    def drawn(there: Selection) -> Result | None:
        job = page.shown(there)
        result = cached(job) if isinstance(job, jobs.Job) else None
        return None if result is None else page.shape(there, result)

    if not differs(page.shown, s):
        return Here(s, drawn(s), cached)
    return Here(s, _compared(s, drawn, page.ranked), cached)


def beside(panel: Panel, page: Page, s: Selection, cached: Cached) -> Result | None:
    """What is drawn of a side panel; None while it is not known."""

    def drawn(there: Selection) -> Result | None:
        here = here_on(page, there, cached)
        known = here.result(panel.job(here))
        return None if known is None else panel.shape(here, known)

    if not differs(lambda there: panel.job(here_on(page, there, cached)), s):
        return drawn(s)
    return _compared(s, drawn)


def differs(asked: Callable[[Selection], jobs.Job | Nothing], s: Selection) -> bool:
    """Whether what is asked depends on the interventions that are switched on."""
    return bool(s.changes) and asked(s.changed) != asked(s.clean)


def _compared(s: Selection, drawn: Callable[[Selection], Result | None], ranked: bool = True) -> Result | None:
    if s.contrast != "difference":
        return drawn(s)
    changed, base = drawn(s.changed), drawn(s.base)
    return None if changed is None or base is None else difference(changed, base, ranked=ranked)
