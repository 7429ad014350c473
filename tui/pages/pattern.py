"""Pattern: what a head attended to on the prompt, or on a file of prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ..arrange import picked
from ..declared import NO_HEAD, NO_TOKENS, Asked, Export, Given, Here, Nothing, Option, Panel, Say, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import cell_line, over_file, token
from ..results import Gallery, Table, head_name
from ..selection import Look, Selection, at_prompt, clamp, one_prompt
from . import cell as cells
from .panels import NEXT_TOKENS, directions, head_writes, of_head, part_write

Mode = Literal["pattern", "scores", "value-weighted", "all heads"]
MODES: tuple[Mode, ...] = ("pattern", "scores", "value-weighted", "all heads")


@dataclass(frozen=True)
class PatternLook(Look):
    """What of the attention is drawn."""

    passing: ClassVar[tuple[str, ...]] = ("over_cell",)
    mode: Mode = "pattern"
    statistic: Literal["mean", "spread"] = "mean"
    """Over a file of prompts."""
    over_cell: tuple[int, int] = (-1, -1)
    """The cursor there: its positions are not those of the prompt."""


STATISTIC = Option("mode", PatternLook, "statistic", ("mean", "spread"))


def plain(s: Selection) -> Selection:
    """On the pattern of the selected head alone."""
    look = s.look(PatternLook)
    return s.put(replace(look, mode="pattern") if look.mode == "all heads" else look, page=PatternPage.name)


def contexts(here: Here) -> jobs.Contexts | Nothing:
    """Where in the file the head attends most to the token under the cursor."""
    s = here.s
    if s.key is None or s.head is None or s.prompts is None or s.tokens is None:
        return NO_HEAD
    return jobs.Contexts(s.key, s.prompts, s.layer, s.head, s.tokens.ids[s.prompt_cell[1]])


def _to_context(here: Here, table: Table, row: int) -> Selection | None:
    """The prompt of the file in which the head attended so, with the cursor on that cell."""
    found, s = here.result(contexts(here)), here.s
    if not isinstance(found, Table) or s.file is None:
        return None
    values = dict(zip(found.columns, found.rows[row], strict=True))
    prompt, query, key = (int(values[name] or 0) for name in ("prompt", "query position", "key position"))
    there = at_prompt(one_prompt(s), prompt)
    return replace(there, row=query, col=key) if there.text == s.text else replace(there, arriving=(query, key))


CONTEXTS = Panel(
    "contexts", contexts, lambda here: f"{here.s.name} attends to {token(here.s.tokens, here.s.prompt_cell[1])}",
    lambda here, result: picked(result, (("context", "context"), ("attention", "attention")), "attention")
    if isinstance(result, Table) else result,
    _to_context, lambda s: s.head is not None and s.file is not None and s.file.prepared is not None,
)  # fmt: skip


def _exported(ask: Asked) -> jobs.Job:
    o, (layer, head) = ask.options, ask.layer_and_head
    if o.prompts is not None:
        return jobs.PatternOver(ask.model.key, ask.changed_prompts(), *ask.head, o.statistic)
    return (
        jobs.LayerPatterns(ask.run, layer) if head is None else jobs.Pattern(ask.run, layer, head, o.kind or "pattern")
    )


def _gives(job: jobs.Job) -> Given | None:
    match job:
        case jobs.Pattern(kind="pattern" | "value-weighted"):
            return {"run": job.run, "head": head_name(job.layer, job.head), "kind": job.kind}
        case jobs.LayerPatterns():
            return {"run": job.run, "head": head_name(job.layer)}
        case jobs.PatternOver():
            return {"prompts": job.prompts, "head": head_name(job.layer, job.head), "statistic": job.statistic}
    return None


def _gives_scores(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Pattern) or job.kind != "scores":
        return None
    return {"run": job.run, "head": head_name(job.layer, job.head)}


def _gives_contexts(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Contexts):
        return None
    return {"prompts": job.prompts, "head": head_name(job.layer, job.head), "token": (job.token,)}


class PatternPage(Page):
    name = "pattern"
    title = "Pattern"
    key = "1"
    help = "View 1: what the head attends to on the prompt."
    says = ("query → key", "the model's own attention on the prompt; `m`: scores, `‖pattern · v W_O‖`, all heads of "
                           "the layer")  # fmt: skip
    options = (
        Option(
            "mode", PatternLook, "mode", MODES, "pattern, scores, value-weighted, all heads; over a file mean or spread"
        ),
    )
    panels = (
        NEXT_TOKENS, CONTEXTS, head_writes(lambda s: s.prompt_cell[1]),
        directions(lambda here: part_write(here.s.name, here.s), lambda here: here.s.name, of_head),
    )  # fmt: skip
    exports = (
        Export("pattern", _exported, ("kind", "statistic", "prompts"), {"kind": ("pattern", "value-weighted")},
               head="layer", refuses=lambda o: "--statistic is for --prompts: one prompt has one pattern"
               if o.statistic != "mean" and o.prompts is None else "", gives=_gives),
        Export("scores", lambda ask: jobs.Pattern(ask.run, *ask.head, "scores"), head="needed", gives=_gives_scores),
        Export("contexts", lambda ask: jobs.Contexts(ask.model.key, ask.changed_prompts(), *ask.head, ask.token()),
               ("token", "answer", "distractor", "prompts"), reads="prompts", head="needed",
               refuses=lambda o: "" if o.token is not None
               else "contexts needs --token WORD, the token that is attended to", gives=_gives_contexts),
    )  # fmt: skip
    of_head = True
    marks = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.run is None:
            return NO_TOKENS
        mode = s.look(PatternLook).mode
        if s.head is None or mode == "all heads":
            return jobs.LayerPatterns(s.run, s.layer)
        return jobs.Pattern(s.run, s.layer, s.head, mode)

    def _is_wall(self, s: Selection) -> bool:
        """Whether all heads of the layer are shown."""
        return not self.is_over(s) and (s.head is None or s.look(PatternLook).mode == "all heads")

    def over(self, s: Selection, prompts: jobs.Prompts) -> jobs.Job | Nothing:
        if s.head is None or s.key is None:
            return NO_HEAD
        return jobs.PatternOver(s.key, prompts, s.layer, s.head, s.look(PatternLook).statistic)

    def option(self, key: str, s: Selection) -> Option | None:
        if key == "mode" and self.is_over(s):
            return STATISTIC
        return None if key == "mode" and s.head is None else super().option(key, s)

    def refusal(self, key: str, s: Selection) -> str:
        if key == "mode":
            return "no head is selected, so all heads of the layer are shown: } selects one"
        return super().refusal(key, s)

    def words(self, s: Selection) -> list[str]:
        look = s.look(PatternLook)
        if self.is_over(s):
            return [s.name, f"{look.statistic} pattern {over_file(s)}"]
        return [f"L{s.layer}", "all heads"] if s.head is None or look.mode == "all heads" else [s.name, look.mode]

    def cell(self, s: Selection) -> tuple[int, int]:
        if self._is_wall(s):
            return 0, s.head or 0
        if not self.is_over(s):
            return s.prompt_cell
        prompts, (row, col) = s.file.prepared if s.file else None, s.look(PatternLook).over_cell
        size = min((len(run.ids) for run in prompts.runs), default=0) if prompts else 0
        return clamp(row, size), clamp(col, size)

    def at(self, s: Selection, row: int, col: int) -> Selection:
        if self.is_over(s):
            return s.put(replace(s.look(PatternLook), over_cell=(row, col)))
        if self._is_wall(s):
            return s.put(replace(s.look(PatternLook), mode="all heads"), head=col)
        return replace(s, row=row, col=col)

    def inspects(self, s: Selection) -> tuple[jobs.Job, ...]:
        return () if self.is_over(s) else self._read(s).listed()

    def line(self, here: Here) -> Segments:
        if self.is_over(here.s):
            statistic = here.s.look(PatternLook).statistic
            return cell_line(here, self.cell(here.s), "{0} → {1}", f"{statistic} attention")
        read = self._read(here.s)
        return cells.line(self, here, read) + cells.written(self, here, read)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        """From a thumbnail to that head, from a cell to what its key makes the head write."""
        s = here.s
        if isinstance(here.drawn, Gallery):
            return plain(replace(s, head=col))
        return replace(s, page="ov", row=s.prompt_cell[1])

    def _read(self, s: Selection) -> cells.CellJobs:
        return cells.asked(self, s, s.prompt_cell[1])
