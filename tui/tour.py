"""The tour: what each step asks for, how it is known to be done, and what it has shown. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import pages
from .commands import by_id, display
from .results import head_name
from .selection import Selection

Done = Callable[[Selection, Selection, str], bool]
"""Whether a step is done: the selection when it began, the one now, the command that was run last."""


@dataclass(frozen=True)
class Step:
    """One key, or a few."""

    asks: Callable[[Selection], str]
    shown: Callable[[Selection], str]
    """What the key has done, once it is done."""
    done: Done


def key(id: str) -> str:
    """The key of a command, as a person reads it."""
    return display(by_id(id).keys[0])


def _by_command(id: str, asks: str, shown: str) -> Step:
    """A step that is done by a command, whatever its key is."""
    return Step(lambda s: asks.format(key(id)), lambda s: shown.format(_here(s)), lambda before, now, ran: ran == id)


def _here(s: Selection) -> str:
    return s.name if s.head is not None else head_name(s.layer)


def target(s: Selection) -> str:
    """The head that the palette is asked to go to: the last one, or the first where the cursor is on the last."""
    if s.model is None:
        return head_name(0, 0)
    last = (s.model.n_layers - 1, s.model.n_heads - 1)
    return head_name(0, 0) if (s.layer, s.head) == last else head_name(*last)


def _reached(before: Selection, now: Selection, ran: str) -> bool:
    return now.name == target(before)


def _typed_prompt(before: Selection, now: Selection, ran: str) -> bool:
    return now.text != before.text and now.tokens is not None


def _moved(before: Selection, now: Selection, ran: str) -> bool:
    page = pages.of(now)
    return now.page == before.page and page.cell(now) != page.cell(before)


STEPS: tuple[Step, ...] = (
    _by_command("head_next", "press {}: the next head", "{}: where this head looked on the prompt, row = query, "
                "column = key; the tree and the title name it"),
    Step(lambda s: "move the cursor with the arrows or h j k l", lambda s: "the line above the keys says what stands "
         "under the cursor, in numbers", _moved),
    _by_command("view_qk", "press {}: another view of the same head", "{} in QK: what it looks for, from the weights "
                "alone; 1 to 9 are the views, the border lists them"),
    _by_command("mode", "press {}: the view's mode", "the line above the picture says which mode it is in and what a "
                "number means; - goes one back"),
    _by_command("panel", "press {}: what belongs to the view, beside it", "lists and curves for what is under the "
                "cursor; where it hides the picture, the same key or esc brings that back first"),
    Step(lambda s: f"press {key('palette')} and type {target(s)} enter: any place, any command by its name",
         lambda s: f"this is {_here(s)}; tab completes there, up has what you ran before, {key('back')} goes back",
         _reached),
    _by_command("knock_out", "press {}: knock this head out", "the model without {}: every view shows it now, and "
                "says changed; d shows the difference"),
    Step(lambda s: f"press {key('undo')}: take that back", lambda s: "the model as it was",
         lambda before, now, ran: len(now.stack) < len(before.stack)),
    Step(lambda s: f"press {key('prompt')}, change the prompt, enter", lambda s: "all of it follows what you type",
         _typed_prompt),
    _by_command("help", "press {}: every key, to search and to run; esc closes it", ""),
)  # fmt: skip
END = "that is the tour: {help} lists every key, {palette} finds anything, {export} writes what is shown, {quit} leaves"


def farewell() -> str:
    """What is said behind the last step."""
    return END.format(**{id: key(id) for id in ("help", "palette", "export", "quit")})
