"""What has to be computed to show a selection, ordered for the engine, and what the answers make of the selection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from . import pages, tree
from .contrast import here_on
from .declared import Cached
from .engine import jobs
from .page import Page, panel_of
from .results import FROM_FILES, WEIGHTS_ONLY, ModelInfo, Table, Tokens
from .selection import Likeliest, Selection, at_prompt, prepared, with_model, without_file


def tokenizing(s: Selection) -> jobs.Tokenize | None:
    """The job that makes tokens of the prompt."""
    return jobs.Tokenize(s.key, s.text, s.with_bos, s.chat) if s.key else None


def pairing(s: Selection) -> jobs.Tokenize | None:
    """The job that makes tokens of the other prompt of a pair."""
    return jobs.Tokenize(s.key, s.pair.text, s.with_bos, s.chat) if s.key and s.pair else None


def after_pair(s: Selection) -> jobs.NextTokens | None:
    """The predictions after the other prompt of a pair."""
    has_none = s.model is not None and s.model.capabilities.outputs
    return jobs.NextTokens(s.corrupted, len(s.corrupted.ids) - 1) if s.corrupted and not has_none else None


def preparing(s: Selection) -> jobs.PreparePrompts | None:
    """The job that tokenizes the open file of prompts."""
    if s.file is None or s.key is None:
        return None
    return jobs.PreparePrompts(s.key, s.file.name, s.file.rows, s.with_bos, chat=s.chat)


def booting(s: Selection) -> jobs.Boot | None:
    """The job that loads the model of which only the files are read so far."""
    if s.model is None or s.opened is None or s.model.source != FROM_FILES:
        return None
    made = s.opened
    return jobs.Boot(made.source, made.device, made.dtype, made.threads, made.how)


def next_tokens(s: Selection) -> jobs.NextTokens | None:
    """The predictions after the cursor's position, for the token strip; a model without outputs has none."""
    has_none = s.model is not None and s.model.capabilities.outputs
    return jobs.NextTokens(s.run, s.position) if s.run and not has_none else None


def after_prompt(s: Selection) -> jobs.NextTokens | None:
    """The predictions after the last position."""
    return next_tokens(replace(s, row=-1))


def likeliest(s: Selection) -> jobs.NextTokens | None:
    """Where the answer comes from while nobody has set one: the model as it is, whatever is changed in it."""
    return after_prompt(s.clean)


def shown(s: Selection) -> jobs.Job | None:
    """The job whose result the page draws; None while there is none."""
    job = pages.of(s).shown(s)
    return job if isinstance(job, jobs.Job) else None


def pictured(s: Selection) -> list[jobs.Job]:
    """What the picture alone is made of."""
    return _there([shown(s), shown(s.base) if s.contrast == "difference" else None])


def panel_job(s: Selection, cached: Cached) -> jobs.Job | None:
    """The job whose result the side panel draws."""
    page = pages.of(s)
    panel = panel_of(page, s)
    job = panel.job(here_on(page, s, cached)) if panel is not None else None
    return job if isinstance(job, jobs.Job) else None


def deciding(s: Selection, whole: bool = True) -> list[jobs.Job]:
    """The jobs whose answers the selection still waits for: the model, then the tokens, then the file and the other
    prompt; ``whole``: also what pages ask, and the likeliest tokens where no answer was set."""
    if s.model is None or s.open != s.opened:
        return [s.open]
    if s.tokens_of != tokenizing(s):
        return _there([tokenizing(s)])
    out: list[jobs.Job | None] = [preparing(s)] if s.file is not None and s.file.prepared_of != preparing(s) else []
    if s.pair is not None and s.pair.tokens_of != pairing(s):
        out.append(pairing(s))
    if whole and s.model.source != WEIGHTS_ONLY:
        out += pages.of(s).asks(s)
        out += [after_pair(s)] if s.pair is not None and s.pair.likeliest is None else []
        out += [likeliest(s)] if s.likeliest is None else []
    return _there(out)


def needs(s: Selection, cached: Cached, with_panel: bool = True) -> list[jobs.Job]:
    """Everything that the screen shows of this selection, most important first: the picture, then those of the heads
    beside it, since the next key is a head more often than a look at the line below; the labels of the tree, and last
    the model itself where only its files are read so far."""
    if s.model is None or s.open != s.opened:
        return [s.open]
    if s.tokens_of != tokenizing(s):
        # Nothing else is worth computing for tokens that are about to change; what is on the screen stays there.
        return _there([tokenizing(s)])
    page = pages.of(s)
    file = preparing(s) if s.file is not None and s.file.prepared_of != preparing(s) else None
    seen = [shown(s), next_tokens(s), after_prompt(s), likeliest(s), panel_job(s, cached) if with_panel else None]
    if s.contrast == "difference":
        seen[1:1] = [shown(s.base), panel_job(s.base, cached) if with_panel else None]
    other = pairing(s) if s.pair is not None and s.pair.tokens_of != pairing(s) else None
    pair = [other, after_pair(s) if s.pair is not None and s.pair.likeliest is None else None]
    every = [*page.asks(s), file, *pair, *seen, *prefetched(page, s), *page.inspects(s), *tree.needs(s), booting(s)]
    return _there(every if s.model.source != WEIGHTS_ONLY else _without_runs(every, shown(s)))


def _without_runs(listed: Iterable[jobs.Job | None], shown: jobs.Job | None) -> list[jobs.Job | None]:
    """What a model that is never run can answer, and the picture, which says why it is not there."""
    runs = {job for job in listed if getattr(job, "run", None) or isinstance(job, jobs.HeadScores)}
    return [job for job in listed if job == shown or job not in runs]


def _there(jobs: Iterable[jobs.Job | None]) -> list[jobs.Job]:
    return list(dict.fromkeys(job for job in jobs if job is not None))


def prefetched(page: Page, s: Selection) -> list[jobs.Job]:
    """What the neighbouring heads would show: computed in idle time, so that the next head is there at once."""
    if s.model is None or s.head is None or page.is_over(s) or page.long:
        return []
    heads = (head for head in (s.head + 1, s.head - 1) if 0 <= head < s.model.n_heads)
    here = shown(s)
    return [job for head in heads if (job := shown(replace(s, head=head))) is not None and job != here]


def told(s: Selection, job: jobs.Job, result: Any) -> Selection:
    """What a result makes of the selection: a model, tokens, a file, the likeliest token, what the page wants to
    know."""
    if isinstance(result, ModelInfo):
        if job == booting(s):
            return replace(s, model=result) if result.key == s.key else with_model(s, s.open, result)
        return with_model(s, s.open, result) if job == s.open and s.opened != job else s
    if s.pair is not None and job == pairing(s) != s.pair.tokens_of and isinstance(result, Tokens):
        s = replace(s, pair=replace(s.pair, tokens=result, tokens_of=pairing(s), likeliest=None, before=None))
    if s.pair is not None and job == after_pair(s):
        s = replace(s, pair=replace(s.pair, likeliest=_best(result)))
    if job == tokenizing(s) != s.tokens_of and isinstance(result, Tokens) and isinstance(job, jobs.Tokenize):
        row, col = s.arriving or (-1, -1)
        return replace(s, tokens=result, tokens_of=job, row=row, col=col, arriving=None, likeliest=None)
    if isinstance(job, jobs.PreparePrompts):
        fresh = s.file is not None and s.file.prepared_of != job and job == preparing(s)
        return prepared(s, job, result) if fresh and isinstance(result, jobs.Prompts) else s
    if isinstance(job, jobs.NextTokens) and job == likeliest(s):
        s = _with_likeliest(s, result)
    return pages.of(s).told(s, job, result)


def _with_likeliest(s: Selection, table: Any) -> Selection:
    """The answer that pages speak of while the user has set none."""
    best = _best(table)
    known = best is None or (s.likeliest is not None and s.likeliest.token == best.token)
    return s if known else replace(s, likeliest=best)


def _best(table: Any) -> Likeliest | None:
    """The first row of a table of predictions."""
    if not isinstance(table, Table) or not table.rows:
        return None
    best, text = (table.rows[0][table.columns.index(name)] for name in ("id", "token"))
    return Likeliest(best, str(text)) if isinstance(best, int) else None


def failed(s: Selection, job: jobs.Job) -> Selection:
    """What a failure makes of it: the model and the file that were there stay, a token list that cannot be is
    dropped."""
    if isinstance(job, jobs.Open) and s.opened is not None and job == s.open:
        return replace(s, open=s.opened)
    if isinstance(job, jobs.PreparePrompts) and s.file is not None and job == preparing(s):
        before = s.file.before
        return without_file(s) if before is None else at_prompt(replace(s, file=before, pair=before.pair), before.at)
    if s.pair is not None and job == pairing(s) and s.pair.tokens_of != job:
        s = replace(s, pair=s.pair.before)
    return pages.of(s).told(s, job, None)
