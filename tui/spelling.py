"""How what a user chose is spelled in files: ``plain``, with a word for the model that is open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from . import finding, scale, selection, stack, tree
from .engine import jobs
from .plain import Others, from_plain, to_plain
from .results import ModelKey, Pairs, Tokens
from .selection import Look, Selection

_KEY = "model"
"""Stands for the open model, wherever a change names the model that it was made on."""


class Spelling:
    """What is written otherwise than field by field: the model that is open, and prompts that changes read, once."""

    def __init__(self, key: ModelKey, references: dict[str, Any] | None = None, inline: bool = False) -> None:
        """``references``: what was written before; ``inline``: prompts stand where they are read."""
        self.references = {} if references is None else references
        """Digest → the prompts, as they are written."""
        self._key = key
        self._keys: Others = {ModelKey: (lambda key: _KEY, self._stands_for)}
        self._all: Others = self._keys if inline else {**self._keys, jobs.Prompts: (self._refer, self._referred)}
        self._made: dict[str, jobs.Prompts] = {}

    def write(self, value: Any) -> Any:
        """A value as JSON has it."""
        return to_plain(value, self._all)

    def read(self, name: str, data: Any, hint: Any) -> Any:
        """A value of that name. ValueError says where it is none."""
        return from_plain(data, hint, known(), self._all, name)

    def _stands_for(self, data: Any) -> ModelKey:
        if data != _KEY:
            raise ValueError(f"found another model's key, wanted “{_KEY}”")
        return self._key

    def _refer(self, listed: jobs.Prompts) -> str:
        if listed.key not in self.references:
            # A field at a time: the whole is what would be written as its digest.
            written = {one.name: to_plain(getattr(listed, one.name), self._keys) for one in fields(listed)}
            self.references[listed.key] = {"is": type(listed).__name__, **written}
        return listed.key

    def _referred(self, data: Any) -> jobs.Prompts:
        if not isinstance(data, str) or data not in self.references:
            raise ValueError("there are no such references")
        if data not in self._made:
            written = self.references[data]
            self._made[data] = from_plain(written, jobs.Prompts, known(), self._keys, f"references.{data[:20]}")
        return self._made[data]


def known() -> dict[str, type]:
    """The classes that a session is made of."""
    made: tuple[type, ...] = (
        jobs.Open, jobs.Run, jobs.Target, jobs.Tokenize, jobs.Words, jobs.PreparePrompts, jobs.Prompts, jobs.PromptRow,
        jobs.TokenFilter, jobs.Repeats, jobs.Ablation, jobs.Patch, jobs.CutEdge, jobs.Unchanged, jobs.AddVector,
        jobs.SteeringDirection, Tokens, Pairs, selection.File, selection.Answer, selection.Likeliest, selection.Entry,
        selection.Pair, Selection, finding.FindLook, scale.ScaleLook, stack.StackLook, tree.TreeLook,
    )  # fmt: skip
    return {kind.__name__: kind for kind in (*made, *_looks(Look))}


def _looks(kind: type[Look]) -> Iterator[type[Look]]:
    for below in kind.__subclasses__():
        yield below
        yield from _looks(below)
