"""What draws a selection: the page's picture, its side panel, the lines above and below, the tree.

A pane's title, words and picture change together, or the picture is blank and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from textual.content import Content
from textual.widgets import Static

from . import needs, pages, phrases, scale, stack, tree
from .arrange import PINNED, difference, on_scale
from .commands import by_id, display
from .contrast import beside, differs, here_on
from .declared import NO_TOKENS, Nothing, Panel, Segments
from .engine.jobs import Job
from .names import head_at
from .notes import Note
from .pace import AWAITED, Pace
from .page import Page, offered, panel_of
from .pages import pair, scores
from .pages.scores import ScoresLook
from .results import Curve, Gallery, Graph, Grid, Header, Limits, Result, Table, Tokens
from .selection import Selection
from .views.chart import Bars
from .views.gallery import Thumbnails
from .views.graph import GraphView
from .views.heatmap import Heatmap
from .views.main_view import MainView, Tab, Words
from .views.model_tree import ModelTree
from .views.prompt import PromptLine, TokenStrip
from .views.side_panel import SidePanel
from .views.status import Status
from .wishes import Wishes

COMPUTING = "computing …"
REFUSED = "✗ refused, not shown below"
"""Beside a prompt that there are no tokens of: what is below is of the one before."""


def title(page: Page, s: Selection) -> str:
    """``L1H3 · QK · bilinear · centered/shown · embed``: what is drawn, with every option that changes its numbers."""
    return " · ".join(part for part in (phrases.contrast(s, page.shown), *page.words(s)) if part)


def places(page: Page, s: Selection) -> str:
    """``m 2/4  u 1/3``: which of its modes and units a page is in."""
    options = [option for key in ("mode", "unit") if (option := page.option(key, s)) is not None]
    named = [(display(by_id(option.key).keys[0]), *option.place(s)) for option in options]
    return "  ".join(f"{key} {at}/{count}" for key, at, count in named if at)


def why_empty(s: Selection, job: Job | Nothing, wishes: Wishes) -> str:
    """What stands where a picture or rows would: the reason why they are not there; "" while they are computed."""
    if isinstance(job, Job) and (why := wishes.why(job)):
        return why
    if why := wishes.why(s.open):
        return f"{why}\npress M to open another model, q to leave"
    if s.model is None:
        return "the model is loading; type a prompt with i meanwhile"
    refused = wishes.refusal(s)
    if refused and s.tokens is None:
        return NO_TOKENS.why
    if isinstance(job, Job):
        return refused  # of the prompt before nothing is computed any more
    return job.why or (s.model.capabilities.outputs if s.target is None else "")  # what waits for an answer waits on


def _asked(panel: Panel, page: Page, wishes: Wishes, s: Selection) -> Job | Nothing:
    return panel.job(here_on(page, s, wishes.cached))


def _incomparable(s: Selection, asked: Callable[[Selection], Job | Nothing], wishes: Wishes) -> str:
    """Why there is no difference of two results that are both there."""
    if s.contrast != "difference" or not differs(asked, s):
        return ""
    there = [asked(s.changed), asked(s.base)]
    for job in there:
        if isinstance(job, Job) and (why := wishes.why(job)):
            return why
    known = [job for job in there if isinstance(job, Job) and wishes.cached(job) is not None]
    return "the changed and the clean model have no rows in common here: d shows one of them" if len(known) == 2 else ""


class Pane:
    """The picture of a page."""

    def __init__(self, view: MainView, wishes: Wishes) -> None:
        self._view = view
        self._wishes = wishes
        self._drawn: tuple[str, Tokens | None] = ("", None)
        """Page of the picture that is there, and the tokens that its cursor may be on."""

    def draw(self, s: Selection, limits: Limits | None = None) -> None:
        """Everything at once; the picture before stays, with its own words, while another of the same page is
        computed. ``limits``: a colour scale that it shares with another."""
        page = pages.of(s)
        if page.is_over(s) and (why := self._wishes.refusal_of_file(s)):
            self._view.blank(why, title(page, s), tabs(page))
            self._drawn = "", None
            return
        drawn = here_on(page, s, self._wishes.cached).drawn
        drawn, locked = scale.on_locked(s, drawn)
        if limits is not None and not locked and isinstance(drawn, Grid):
            drawn = on_scale(drawn, limits)
        if isinstance(drawn, Grid | Gallery | Table | Curve | Graph):
            header = drawn.header
            heading = title(page, s) + (" · (so far)" if header.partial else "")
            shared = locked or ("shared scale" if limits is not None else "")
            badges = (*phrases.badges(s, page.shown(s), page.tokens(s)), *([shared] if shared else []))
            words = Words(heading, header.explanation, phrases.checks(header), places(page, s), badges)
            self._view.show(drawn, page.cell(s), words, tabs(page))
            self._drawn = page.name, page.tokens(s)
            return
        why = why_empty(s, page.shown(s), self._wishes) or _incomparable(s, page.shown, self._wishes)
        if why or page.name != self._drawn[0]:
            self._view.blank(why or COMPUTING, title(page, s), tabs(page))
            self._drawn = "", None
        else:
            self._view.wait()

    def followed(self, s: Selection) -> Selection:
        """The selection where the cursor of the picture is; that of other tokens says nothing of these."""
        picture, page = self._view.picture, pages.of(s)
        if not self._shows(page, s):
            return s
        if isinstance(picture, Heatmap) and picture.grid is not None:
            return page.at(s, *picture.cursor)
        if isinstance(picture, Bars) and picture.table is not None:
            return page.at(s, picture.cursor, 0)
        if isinstance(picture, GraphView) and picture.graph is not None:
            return page.at(s, picture.cursor, 0)
        if isinstance(picture, Thumbnails) and picture.gallery is not None:
            return page.at(s, 0, picture.cursor)
        return s

    def stepped(self, s: Selection, rows: int, cols: int) -> Selection | None:
        """A key that moves the cursor: in the picture, or (its selection is given back) where there is none of this
        page yet, or a curve."""
        page = pages.of(s)
        if not self._shows(page, s):
            row, col = page.cell(s)
            return page.at(s, max(0, row + rows), max(0, col + cols))
        self._view.picture.action_cursor(rows, cols)
        return page.step(s, rows or cols)

    def _shows(self, page: Page, s: Selection) -> bool:
        return self._drawn[0] == page.name and self._drawn[1] is page.tokens(s)


class Pinned:
    """The picture that was pinned beside the page's."""

    def __init__(self, view: MainView, wishes: Wishes) -> None:
        self._view = view
        self._wishes = wishes

    def draw(
        self, s: Selection, pinned: Selection, as_difference: bool, limits: Limits | None, own_scale: bool
    ) -> None:
        """What was pinned with the cursor of the page's picture, or the page's picture minus it."""
        cached, cell, page = self._wishes.cached, pages.of(s).cell(s), pages.of(pinned)
        own, drawn = here_on(pages.of(s), s, cached).drawn, here_on(page, pinned, cached).drawn
        one_scale = not own_scale and _one_scale(own, drawn, limits)
        badge = "" if as_difference else ", one scale" if one_scale else ", own scale"
        tab = [Tab("|", ("pinned" if pinned.text == s.text else f"pinned: {pinned.text[-24:]}") + badge, True)]
        name = title(page, pinned)
        if pinned.model is not None and pinned.opened != s.opened:
            name = f"{pinned.model.name} · {name}"
        if as_difference:
            name = f"Δ this − {name}"
            if own is not None and drawn is not None:
                drawn = difference(own, drawn, PINNED, page.ranked) or _NO_DIFFERENCE
            else:
                drawn = None
            if drawn is _NO_DIFFERENCE:
                self._view.blank(_NO_DIFFERENCE.header.explanation, name, tab)
                return
        elif limits is not None and isinstance(drawn, Grid):
            drawn = on_scale(drawn, limits)
        if isinstance(drawn, Grid | Gallery | Table | Curve | Graph):
            checks = "" if as_difference else phrases.checks(drawn.header)
            badges = phrases.badges(pinned, page.shown(pinned), page.tokens(pinned))
            self._view.show(drawn, cell, Words(name, drawn.header.explanation, checks, badges=badges), tab)
        else:
            why = why_empty(pinned, page.shown(pinned), self._wishes)
            if as_difference and own is None:
                why = why or why_empty(s, pages.of(s).shown(s), self._wishes)
            self._view.blank(why or COMPUTING, name, tab)


def _one_scale(own: Result | None, drawn: Result | None, limits: Limits | None) -> bool:
    """Whether a colour means the same in both: by a shared scale, or by the one that such values always have."""
    fixed = isinstance(own, Grid) and isinstance(drawn, Grid) and own.limits is not None and own.limits == drawn.limits
    return limits is not None or fixed


_NO_DIFFERENCE = Table(Header("", "", "", explanation="the two have no rows and columns in common: | shows no "
                              "difference of them"), (), ())  # fmt: skip


class Side:
    """The side panel of a page."""

    def __init__(self, view: SidePanel, wishes: Wishes) -> None:
        self._view = view
        self._wishes = wishes
        self._drawn = ("", "")
        """Page and panel whose rows are there."""

    def draw(self, s: Selection) -> None:
        """Title and rows together; rows that are computed leave those of the same panel, another panel's never."""
        page = pages.of(s)
        panel, here = panel_of(page, s), here_on(page, s, self._wishes.cached)
        if panel is None:
            return
        if page.is_over(s) and (why := self._wishes.refusal_of_file(s)):
            self._view.blank(why, panel.name)
            self._drawn = ("", "")
            return
        job, asked = panel.job(here), partial(_asked, panel, page, self._wishes)
        result = beside(panel, page, s, self._wishes.cached)
        mark = phrases.contrast(s, asked)
        if isinstance(result, Table | Curve | Grid):
            names = [one.name for one in offered(page, s)]
            place = f"p {names.index(panel.name) + 1}/{len(names)}" if len(names) > 1 else ""
            heading = " · ".join(part for part in (place, mark, panel.title(here)) if part)
            self._view.show(result, heading, phrases.checks(result.header, facts=False))
            self._drawn = (page.name, panel.name)
            return
        why = why_empty(s, job, self._wishes) or _incomparable(s, asked, self._wishes)
        if why or (page.name, panel.name) != self._drawn:
            # Without tokens a title would speak of none: "after ".
            self._view.blank(why or COMPUTING, panel.name if s.tokens is None else panel.title(here))
            self._drawn = ("", "")
        else:
            self._view.wait()


class Lines:
    """What is one line high: status, prompt, tokens, inspector."""

    def __init__(
        self, status: Status, prompt: PromptLine, strip: TokenStrip, inspector: Static, wishes: Wishes
    ) -> None:
        self._status, self._prompt, self._strip, self._inspector = status, prompt, strip, inspector
        self._wishes = wishes

    def draw(self, s: Selection) -> None:
        """All of them."""
        self._draw_words(s)
        self.draw_strip(s)

    def follow(self, s: Selection, pace: Pace) -> None:
        """The cursor has moved: the tokens wait a moment for the predictions at its row: their line is drawn once."""
        self._draw_words(s)
        if self._wishes.cached(needs.next_tokens(s)) is None and self._strip.tokens is s.tokens:
            pace.later("strip", AWAITED, lambda: self.draw_strip(s))
        else:
            self.draw_strip(s)

    def _draw_words(self, s: Selection) -> None:
        self._status.conventions = phrases.conventions(s)
        self._status.activity = self._wishes.activity
        page = pages.of(s)
        over = page.is_over(s)  # then each prompt has an answer of its own
        aim = phrases.aim_in_line(s, pair.aimed(s) if page.name in pair.PAGES else "")
        self._prompt.answer = "" if over else REFUSED if self._wishes.refusal(s) else aim
        self._prompt.file = f"{s.file.name} · {s.file.count}" if s.file and over else ""
        room = self._inspector.size.width
        words = Content.assemble(*(phrases.in_room(self._line(page, s), room) if room else self._line(page, s)))
        if self._inspector.content != words:
            self._inspector.update(words, layout=False)

    def _line(self, page: Page, s: Selection) -> Segments:
        """The inspector: what a page says of a cell is said of one model, never of the difference."""
        cached = self._wishes.cached
        if s.contrast != "difference" or not differs(page.shown, s):
            return page.line(here_on(page, s, cached))
        here, changed, clean = (here_on(page, there, cached) for there in (s, s.changed, s.base))
        return phrases.difference_line(here, changed, clean, page.cell(s)) + page.apart(changed, clean)

    def draw_strip(self, s: Selection) -> None:
        """The tokens and what comes after the cursor's."""
        page, strip = pages.of(s), self._strip
        if strip.tokens is not s.tokens:
            strip.tokens = s.tokens
        two = page.marks and page.tokens(s) is s.tokens
        strip.row, strip.col = s.position, s.prompt_cell[1] if two else s.position
        strip.shade = page.shade(here_on(page, s, self._wishes.cached))
        predictions = self._wishes.cached(needs.next_tokens(s))
        if isinstance(predictions, Table):
            if strip.predictions is not predictions:
                strip.predictions = predictions
            strip.mark = "changed" if s.run is not None and s.run.interventions else ""
        elif s.model is not None and s.model.capabilities.outputs:
            strip.predictions = None


class Heads:
    """The tree: its cursor, its labels and its order."""

    def __init__(self, view: ModelTree, wishes: Wishes) -> None:
        self._view = view
        self._wishes = wishes
        self._says: tuple[object, ...] = ()
        """What labels and order were made of."""

    def build(self, s: Selection) -> None:
        """The tree of the model that was opened."""
        if s.model is not None:
            self._view.build(s.model.n_layers, s.model.n_heads, s.model.has_mlp)
        self._says = ()

    def draw(self, s: Selection, notes: Mapping[str, Note]) -> None:
        """What the scores and the user say of the heads, and their order; it ignores what it shows."""
        self._view.point(s.layer, s.head)
        look, score, on_repeats = s.look(tree.TreeLook), s.look(ScoresLook).score, scores.on_repeats(s)
        known = [g for g in map(self._wishes.cached, (on_repeats, scores.copying(s))) if isinstance(g, Grid)]
        sorting: Result | None = self._wishes.cached(tree.sorted_by(s))
        limited: Result | None = self._wishes.cached(tree.filtered_by(s))
        gone = stack.in_tree(s)
        said = (*known, sorting, limited, look, score, notes, gone)
        before = self._says
        if len(said) == len(before) and all(a is b or a == b for a, b in zip(said, before, strict=True)):
            return
        self._says = said
        self._view.border_title = "Heads, changed" if on_repeats is not None and on_repeats.changes else "Heads"
        labels = tree.label_texts(*known)
        shown = dict(labels)
        for name, grid in ((score, sorting), (tree.compared(look.filter, score), limited)):
            shown |= tree.score_texts(name, grid) if isinstance(grid, Grid) else {}
        marks = [at for name, note in notes.items() if note.bookmarked and (at := head_at(name))]
        self._view.label(shown | gone, marks)
        base = sorting if isinstance(sorting, Grid) else known[0] if known else None
        limits = limited if isinstance(limited, Grid) else None
        self._view.list_heads(tree.order(look, score, base, labels, limits, notes))


def tabs(shown: Page) -> list[Tab]:
    """``1 Pattern  2 QK …`` with the shown page marked; pages without a number are named while they are shown."""
    return [
        Tab(page.key, page.title, page is shown)
        for page in pages.every()
        if page.key.isdigit() or page is shown
    ]  # fmt: skip
