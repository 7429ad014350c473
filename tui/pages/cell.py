"""One cell, query → key: what this prompt did and what the weights say, the same line in Pattern, QK and OV."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..declared import Here, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import GOOD, LABEL, STRONG, VALUE, cached_at, field, number, share, token, value_at
from ..results import Table
from ..selection import Selection
from ..text import visible
from . import circuit
from .circuit import CircuitLook


@dataclass(frozen=True)
class CellJobs:
    """The jobs whose values are read for a cell; None where one has no meaning."""

    pattern: jobs.Pattern | None = None
    scores: jobs.Pattern | None = None
    qk: jobs.QK | None = None
    zscore: jobs.QK | None = None
    ov: jobs.OV | None = None
    ov_row: jobs.OVRow | None = None

    def listed(self) -> tuple[jobs.Job, ...]:
        every = (self.pattern, self.scores, self.qk, self.zscore, self.ov, self.ov_row)
        return tuple(job for job in every if job is not None)


def asked(page: Page, s: Selection, source: int) -> CellJobs:
    """``source``: which of the page's tokens the head is thought to read (the key; in OV the row)."""
    run, tokens = s.run, page.tokens(s)
    if run is None or tokens is None or not len(tokens):
        return CellJobs()
    pattern = scores = qk = zscore = None
    if s.head is not None:
        if tokens is s.tokens:
            pattern = jobs.Pattern(run, s.layer, s.head, "pattern")
            scores = jobs.Pattern(run, s.layer, s.head, "scores")
        qk = circuit.qk(s, tokens, normalize="none", baseline="shown", term="token-token")
        baseline: jobs.Baseline = "shown" if s.look(CircuitLook).basis == "prompt" else "vocabulary"
        zscore = replace(qk, normalize="zscore", baseline=baseline)
    row = circuit.source_row(s, tokens, source)
    ov = circuit.ov(s, tokens, normalize="none", baseline="shown")
    return CellJobs(pattern, scores, qk, zscore, ov, row if isinstance(row, jobs.OVRow) else None)


def line(page: Page, here: Here, read: CellJobs) -> Segments:
    """``·is → ·France  pattern 1.000  score 5.21  QK 3.10 (z 2.7)``; what is written is added by the page."""
    s, tokens = here.s, page.tokens(here.s)
    if tokens is None or not len(tokens):
        return [("no tokens", LABEL)]
    row, col = page.token_cell(s)
    out: Segments = [(f" {token(tokens, row)} → {token(tokens, col)} ", STRONG)]
    normalize = s.look(CircuitLook).normalize
    if normalize != "none" and page.option("normalize", s) is not None and here.drawn is not None:
        out += field(normalize, number(value_at(here.drawn, *page.cell(s))))
    if read.pattern is not None:
        pattern, scores = (cached_at(here.cached, job, row, col) for job in (read.pattern, read.scores))
        masked = pattern is not None and math.isnan(pattern)
        out += field("pattern", "masked" if masked else share(pattern))
        out += [] if masked else field("score", number(scores))
    if read.qk is not None:
        out += field("QK", number(cached_at(here.cached, read.qk, row, col)))
        out += [(f" (z {number(cached_at(here.cached, read.zscore, row, col), 1)})", VALUE)]
    return out


def written(page: Page, here: Here, read: CellJobs) -> Segments:
    """What the key token makes the head write most: ``OV ·France → ·Paris +9.82``."""
    table = here.result(read.ov_row)
    if not isinstance(table, Table) or not table.rows:
        return []
    best = dict(zip(table.columns, table.rows[0], strict=True))
    key = token(page.tokens(here.s), page.token_cell(here.s)[1])
    strength = f" {float(best['value'] or 0):+.2f}".replace("-", "−")
    return [(f"  OV {key} → ", VALUE), (visible(str(best["token"])), GOOD), (strength, VALUE)]
