"""What keys make of the selection: pure functions to another one, or to a sentence that says why nothing happened."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from . import pages, questions
from .declared import Here, Problem, Say
from .finding import to_match, to_position
from .names import HeadAt, jump_at, neuron_at
from .page import offered, over_refused, panel_of
from .pages import continuing, going, loss, residual
from .results import Grid, Table, head_name
from .selection import Selection, at_prompt, on_head, one_prompt
from .tree import toggle_order

NO_FILE = Say("no file of prompts is open: O opens one")
NO_STEPS = Say("this model is no step of a training run: a folder with several files of weights, or with folders such "
               "as checkpoint-500, is one")  # fmt: skip


def to_page(s: Selection, name: str) -> Selection:
    """Another page, as its key shows it; its first side panel, unless the user closed it."""
    page = pages.named(name)
    if s.page == name and page.back_to:
        page = pages.named(page.back_to)
    return replace(page.entered(s), page=page.name, panel="")


def to_head(s: Selection, at: HeadAt) -> Selection | Say:
    """A head by number; one that does not exist is said."""
    model, (layer, head) = s.model, at
    if model is not None and not (0 <= layer < model.n_layers and 0 <= head < model.n_heads):
        return Say(f"there is no L{layer}H{head}: layers 0 to {model.n_layers - 1}, heads 0 to {model.n_heads - 1}")
    return on_head(s, layer, head)  # before there is a model: where it will open


def to_pattern(s: Selection, at: HeadAt) -> Selection:
    """A head's pattern."""
    return going.to_head(s, at)


def step_head(s: Selection, by: int) -> Selection:
    """The next or previous head of the layer; kept for the model that is still to come."""
    if s.model is None:
        return replace(s, steps=(s.steps[0], s.steps[1] + by))
    return replace(s, head=0 if s.head is None else (s.head + by) % s.model.n_heads)


def step_layer(s: Selection, by: int) -> Selection:
    """The next or previous layer, same head; kept as well."""
    if s.model is None:
        return replace(s, steps=(s.steps[0] + by, s.steps[1]))
    return replace(s, layer=(s.layer + by) % s.model.n_layers, head=s.head or 0)


def step_position(s: Selection, by: int) -> Selection:
    """The next or previous position of the prompt, whatever the page's rows and columns are."""
    count = len(s.tokens) if s.tokens else 0
    return replace(s, row=max(0, min(s.position + by, count - 1))) if count else s


def from_tree(s: Selection, layer: int | None, head: int | None, mlp: bool) -> Selection | Say:
    """A node of the tree."""
    if layer is None:
        return move(s, "direct")
    if mlp:
        return residual.from_tree(s, layer)
    return on_head(s, layer, (s.head or 0) if head is None else head)


def step_prompt(s: Selection, by: int) -> Selection | Say:
    """The next or previous prompt of the file, by itself."""
    return NO_FILE if s.file is None else at_prompt(one_prompt(s), s.file.at + by)


def toggle_over(s: Selection) -> Selection | Say:
    """Mean and spread over the file of prompts, or one prompt."""
    if s.file is None:
        return NO_FILE
    if not pages.of(s).has_over:
        over = pages.over_files()
        names = f"{', '.join(page.title for page in over[:-1])} and {over[-1].title}"
        return Say(f"{names} can be shown over all prompts: {', '.join(page.key for page in over)}")
    if why := over_refused(pages.of(s), s):
        return Say(why)
    return replace(s, file=replace(s.file, over=not s.file.over))


def step_checkpoint(s: Selection, by: int) -> Selection | Say:
    """The next or previous training step of the run that is open."""
    steps = s.model.steps if s.model is not None else ()
    if s.model is None or not steps:
        return NO_STEPS
    sources = [source for _, source in steps]
    # From the one that was asked for: two presses go two steps also while the first is loading.
    at = (sources.index(s.open.source) if s.open.source in sources else s.model.step) + by
    if not 0 <= at < len(steps):
        return Say(f"{steps[0 if at < 0 else -1][0]} is the {'first' if at < 0 else 'last'} of {len(steps)} steps")
    return replace(s, open=replace(s.open, source=sources[at]))


def to_checkpoint(s: Selection, name: str) -> Selection | Say:
    """A training step of the run that is open, by its name or a part of it that no other has."""
    steps = s.model.steps if s.model is not None else ()
    if not steps:
        return NO_STEPS
    numbers = [one for one, _ in steps if name in re.findall(r"[0-9]+", one)]
    found = [one for one, _ in steps if one == name] or numbers or [one for one, _ in steps if name in one]
    if len(found) != 1:
        several = f"{', '.join(found[:5])} are all called so" if found else f"there is no step {name}"
        return Say(f"{several}; there are {', '.join(one for one, _ in steps[:8])}{' …' if len(steps) > 8 else ''}")
    return replace(s, open=replace(s.open, source=dict(steps)[found[0]]))


def toggle_bos(s: Selection) -> Selection | Say:
    """A BOS before the prompt, or none."""
    if s.model is not None and s.model.bos_id is None:
        return Say("this model's tokenizer has no BOS token")
    if s.chat:
        return Say("the chat template says whether there is a BOS: :chat takes the prompt out of it")
    return replace(s, bos=not s.with_bos)


def toggle_chat(s: Selection) -> Selection | Say:
    """The prompt as a user's message in the model's chat template, or as it is typed."""
    if s.model is None:
        return Say("no model is there yet: type :chat again when one is")
    return Say(s.model.no_chat) if s.model.no_chat else replace(s, chat=not s.chat)


def toggle_weights(s: Selection) -> Selection:
    """Processed, or as stored."""
    return replace(s, weights="raw" if s.weights == "processed" else "processed")


def cycle(s: Selection, key: str, label: str, back: bool = False) -> tuple[Selection, str]:
    """The next value of the page's option under that key, or the one before, and a sentence where there is something
    to say."""
    page = pages.of(s)
    option = page.option(key, s)
    if option is not None:
        return option.cycle(s, back)
    names = ", ".join(other.title for other in pages.with_option(key))
    return s, page.refusal(key, s) or f"{label} is for {names}; nothing here depends on it"


_BY: dict[str, Callable[[Selection, int], Selection | Say]] = {
    "head": step_head, "layer": step_layer, "position": step_position, "prompt": step_prompt,
    "checkpoint": step_checkpoint,
}  # fmt: skip
_SWITCHES: dict[str, Callable[[Selection], Selection | Say]] = {
    "over": toggle_over, "bos": toggle_bos, "weights": toggle_weights, "order": toggle_order,
}  # fmt: skip
_STAY = ("position", "checkpoint", *_SWITCHES)
"""Moves that change how a place looks, not which it is."""


def move(s: Selection, name: str, by: int = 0) -> Selection | Say:
    """A move by its name: one of those above, or one that a page brought along."""
    if name in _BY:
        return _BY[name](s, by)
    brought = {known: call for page in pages.every() for known, call in page.moves.items()}
    return (_SWITCHES | brought)[name](s)


def remark(before: Selection, after: Selection) -> str:
    """What a move did that the picture alone might not tell; "" where it does."""
    if after.steps != before.steps:
        steps = [f"{by:+d} {what}{'s' if abs(by) > 1 else ''}" for by, what in zip(after.steps, ("layer", "head"),
                                                                                strict=True) if by]  # fmt: skip
        return f"when the model is there: {' and '.join(steps)}" if steps else ""
    if after.weights != before.weights:
        raw = "raw, as stored: no norm folded, nothing centred"
        return f"weights {raw if after.weights == 'raw' else 'processed: norms folded, writing weights centred'}"
    if after.chat != before.chat and after.model is not None:
        return "the prompt is a user's message in the chat template" if after.chat else "the prompt is as it is typed"
    if after.with_bos != before.with_bos:
        return f"the prompt has {'a' if after.with_bos else 'no'} BOS before it: every number of the run changes"
    said = (look.remark(before.look(type(look)), after) for look in after.looks if look not in before.looks)
    return next(filter(None, said), "")


def is_jump(name: str) -> bool:
    """Whether back leads to where the move was made."""
    return name not in _STAY


# --- a place that is typed ---

_POSITION = re.compile(r"(?!$)([-−]?\d{1,7})?(?:,([-−]?\d{1,7}))?")


def typed(s: Selection, text: str) -> list[tuple[str, str, Callable[[], Selection | Say]]]:
    """Where a text leads (``L10H2`` or ``10 2``, ``L2N17``, ``prompts FILE``, ``continue 20 0.8``): what it is called,
    a sentence, the move."""
    out: list[tuple[str, str, Callable[[], Selection | Say]]] = []
    if (place := _POSITION.fullmatch(text.strip())) is not None:
        row, col = (None if part in (None, "") else int(part.replace("−", "-")) for part in place.groups())
        where = f"position {place[1]}" if col is None else f"row {place[1] or 'as it is'}, column {place[2]}"
        out.append((f"go to {where}", "Of the prompt, or of the token list.", partial(to_position, s, row, col)))
    if (head := jump_at(text)) is not None:
        out.append((f"go to {head_name(*head)}", "Show this head.", partial(to_head, s, head)))
    if (neuron := neuron_at(text)) is not None:
        name = f"L{neuron[0]}N{neuron[1]}"
        out.append((f"go to {name}", "Show this neuron.", partial(going.to_neuron, s, neuron)))
    command, _, path = text.strip().partition(" ")
    if command.lower() == "find" and path.strip():
        sentence = "The next token that reads so; * the next one, # the one before."
        out.append((f"find {path.strip()}", sentence, partial(to_match, Here(s, None, lambda job: None), path.strip())))
    if text.strip().lower() == "chat":
        sentence = "The prompt as it is typed." if s.chat else "The prompt as a user's message in the chat template."
        out.append(("chat off" if s.chat else "chat", sentence, partial(toggle_chat, s)))
    if command.lower() == "prompts" and path.strip():
        out.append((f"open {path.strip()}", "A file of prompts.", partial(to_prompts, s, path.strip())))
    if command.lower() == "checkpoint" and path.strip():
        sentence = "Another training step of the run that is open."
        out.append((f"checkpoint {path.strip()}", sentence, partial(to_checkpoint, s, path.strip())))
    if command.lower() == "continue" and path.strip():
        out.append((f"continue {path.strip()}", "What the model says next.", partial(to_continuing, s, path.strip())))
    if command.lower() == "model" and path.strip():
        sentence = "A model: demo, a hub name, or a folder."
        out.append((f"model {path.strip()}", sentence, partial(to_model, s, path.strip())))
    if command.lower() == "continuation":
        out.append((f"continuation {path.strip()}".strip(), "The text after the prompt whose loss is measured; empty: "
                    "none.", partial(to_continuation, s, path.strip())))  # fmt: skip
    return out


def to_model(s: Selection, source: str) -> Selection:
    """Another model, with the prompt, page and head that are shown."""
    return replace(s, open=replace(s.open, source=source))


def to_continuing(s: Selection, how: str) -> Selection | Say:
    """What the model says next, or what is wrong with how it is asked for."""
    answer = continuing.answered(s, how)
    return answer if isinstance(answer, Selection) else Say(getattr(answer, "sentence", ""))


def to_continuation(s: Selection, text: str) -> Selection | Say:
    """The text whose loss is measured, and its loss on a page that can."""
    there, option = loss.given(s, text), pages.of(s).option("mode", s)
    if option is None or loss.LOSS not in option.choices(s):
        where = "the loss on a text is measured in Patching and Knock out: press 9 or K first"
        return there if not text else Say(where)
    return option.put(there, loss.LOSS if text else option.choices(s)[0])


def to_prompts(s: Selection, path: str) -> Selection | Say:
    """A file of prompts, or what is wrong with it."""
    answer = questions.prompt_file(s, path)
    return Say(answer.sentence) if isinstance(answer, Problem) else answer


# --- the side panel ---


def panel_open(s: Selection, small: bool) -> bool:
    """On a small screen the panel replaces the picture, so it waits there for the user to ask (``p``)."""
    wanted = s.panel_shown == "open" or (s.panel_shown == "auto" and not small)
    return wanted and panel_of(pages.of(s), s) is not None


def next_panel(s: Selection, small: bool, back: bool = False) -> Selection:
    """The next side panel of the page, then none; or the one before, none before the first."""
    page = pages.of(s)
    names = [panel.name for panel in offered(page, s)]
    if not panel_open(s, small):
        # On a small screen one may wait already: the key that chose it could not show it.
        first = names[-1 if back else 0] if names else ""
        return replace(s, panel=s.panel if s.panel in names else first, panel_shown="open")
    shown = panel_of(page, s)
    at = names.index(shown.name) + (-1 if back else 1) if shown is not None else 0
    return replace(s, panel=names[at]) if 0 <= at < len(names) else replace(s, panel="", panel_shown="closed")


def leave_panel(s: Selection, small: bool) -> Selection:
    """On a small screen: the picture again, where the panel has taken its place."""
    return replace(s, panel_shown="auto") if small and s.panel_shown == "open" else s


def to_directions(s: Selection) -> Selection | Say:
    """The vector under the cursor as tokens, in the side panel."""
    names = [panel.name for panel in offered(pages.of(s), s)]
    name = next((name for name in ("directions", "neuron writes", "head writes") if name in names), "")
    if not name:
        return Say("no vector of the stream is under the cursor here")
    return replace(s, panel=name, panel_shown="open")


# --- enter ---


def open_cell(here: Here, row: int, col: int) -> Selection | Say:
    """What enter on a cell of the picture shows; nothing where another has come since, which has no such cell."""
    if isinstance(here.drawn, Grid) and not (row < here.drawn.values.shape[0] and col < here.drawn.values.shape[1]):
        return Say("")
    return pages.of(here.s).opens(here, row, col)


def open_row(here: Here, table: Table, row: int) -> Selection | Say | None:
    """What enter on a row of the side panel shows."""
    panel = panel_of(pages.of(here.s), here.s)
    return panel.opens(here, table, row) if panel is not None else None
