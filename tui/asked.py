"""One headless request: what its options mean on the model that is open. The jobs are those that the app asks for."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from . import kept, notation, prompts, steering
from .circuits.errors import Refusal
from .engine.jobs import (
    Change,
    FindTarget,
    HeadAt,
    Job,
    NextTokens,
    PreparePrompts,
    PromptRow,
    Prompts,
    Run,
    Target,
    TokenFilter,
    Tokenize,
    Words,
)
from .flags import Usage, head_of
from .names import Circuit, circuit_at, layer_at
from .pages.pairs import parse_filter
from .results import ModelInfo, Split, Tokens
from .selection import Selection

_LINES = "one head, MLP or edge a line, such as L1H3 or L0H2 -> L1H3.k."


class Missing(Refusal):
    """Something that was named is not there: exit code 1."""


class Answers(Protocol):
    """Whoever computes jobs."""

    def get(self, job: Job) -> Any: ...


class Request:
    """What was asked for, the model, and the tokens."""

    def __init__(self, options: argparse.Namespace, model: ModelInfo, context: Answers) -> None:
        self.options = options
        self.model = model
        self._context = context
        self.tokens = self._find_tokens()

    def get(self, job: Job) -> Any:
        """The answer to a job."""
        return self._context.get(job)

    def _find_tokens(self) -> Tokens | None:
        """The tokens of the prompt or of the list; None: a file of prompts, or weights alone."""
        o, key = self.options, self.model.key
        listed: Tokens
        if o.tokens is not None or o.token_ids is not None:
            job = Words(key, o.tokens, "words") if o.tokens is not None else Words(key, o.token_ids, "ids")
            listed = self.get(job)
            return listed
        if o.bos == "on" and self.model.bos_id is None:
            raise Usage(f"--bos on: {self.model.name} has no BOS token")
        if o.prompt is None:
            return None
        listed = self.get(Tokenize(key, o.prompt, self.with_bos, self.as_chat))
        return listed

    @property
    def with_bos(self) -> bool:
        """Whether a prompt gets a BOS."""
        return self.model.bos_default if self.options.bos == "auto" else bool(self.options.bos == "on")

    @property
    def as_chat(self) -> bool:
        """Whether a prompt is a user's message in the model's chat template."""
        return bool(self.options.chat)

    @property
    def run(self) -> Run:
        """The forward pass on the tokens."""
        assert self.tokens is not None
        return Run(self.model.key, self.tokens.ids, self.tokens.bos, self.stack)

    @cached_property
    def stack(self) -> tuple[Change, ...]:
        """The changes of ``--stack``; Usage for a line that is none, with its number."""
        o = self.options
        if o.stack is None:
            return ()
        text = self._text(o.stack, "one change a line, such as L1H3.")
        reference = self.reference() if o.reference or o.prompts else None
        found = notation.read_file(text, reference, o.weights, self._vector)
        if found and isinstance(found[0], int):
            raise Missing(f"Line {found[0]} of {o.stack}: {found[1]}.", "See the README, “Change the model”.")
        return found

    def _vector(self, line: str) -> Change | str:
        """A line of ``--stack`` that adds a direction: before a layer and at positions that it names."""
        if not steering.is_placed(line):
            return f"“{line}” names no layer or no position: write {steering.PLACED}"
        s = Selection(model=self.model)
        made = steering.read(s, line)
        if not isinstance(made, FindTarget):
            return made
        found = self.get(made)
        return " ".join(found.problem) if isinstance(found, Split) else steering.towards(s, made, found)

    @property
    def basis_run(self) -> Run | None:
        """The forward pass behind basis ``prompt``."""
        return self.run if self.options.basis == "prompt" else None

    @property
    def layer_and_head(self) -> tuple[int, int | None]:
        """Layer and head; no head: a whole layer, or the direct path."""
        return head_of(self.options) or (0, None)

    @property
    def head(self) -> HeadAt:
        """Layer and head, where it was seen that both are there."""
        layer, head = self.layer_and_head
        assert head is not None
        return layer, head

    @property
    def offset(self) -> int:
        """The rotary distance; Usage where there is none."""
        if self.options.offset is not None and self.model.positions != "rotary":
            raise Usage(f"--offset is for rotary positions; {self.model.name} has {self.model.positions} ones")
        return self.options.offset or 0

    @property
    def layer(self) -> int | None:
        """Whose MLP."""
        return layer_at(self.options.layer or "")

    @property
    def filter(self) -> TokenFilter:
        """Which tokens a search leaves out."""
        chosen = parse_filter(self.options.filter)
        assert not isinstance(chosen, str)
        return chosen

    def place(self, name: str = "position", default: int = -1) -> int:
        """A position that an option names, counted from 0."""
        value = getattr(self.options, name)
        value, count = default if value is None else value, len(self.run.ids)
        if not -count <= value < count:
            raise Usage(f"--{name} {value}: there are {count} tokens")
        return int(value) % count

    def target(self) -> Target:
        """The answer and distractor; without an answer the likeliest next token."""
        given = self.given_target()
        if given is not None:
            return given
        table = self.get(NextTokens(self.run, len(self.run.ids) - 1, 1))
        return Target((int(table.rows[0][table.columns.index("id")]),))

    def given_target(self) -> Target | None:
        """The answer and distractor; None without an answer."""
        o = self.options
        if o.answer is None:
            return None
        found = self.get(
            FindTarget(self.model.key, o.answer if o.distractor is None else f"{o.answer} - {o.distractor}")
        )
        if isinstance(found, Split):
            raise Missing(*found.problem)
        return Target(found.answers.ids, found.distractors.ids)

    def token(self, output: bool = False) -> int:
        """The one token that ``--token`` names; ``output``: the output, a class where outputs are no tokens."""
        if output and self.model.classes:
            found = self.get(FindTarget(self.model.key, self.options.token))
            if len(found.answers) != 1 or len(found.distractors):
                raise Usage("--token takes one output")
            return int(found.answers.ids[0])
        tokens: Tokens = self.get(Words(self.model.key, self.options.token, "words"))
        if len(tokens) != 1:
            raise Usage(f"--token takes one token, not {len(tokens)}")
        return tokens.ids[0]

    def prompts(self) -> Prompts:
        """The file of prompts, tokenized; what of it was not read is said on standard error."""
        o = self.options
        file = prompts.read(o.prompts, prompts.parse_fields(o.fields) if o.fields else {})
        self.notes = file.notes
        job = PreparePrompts(self.model.key, Path(o.prompts).name, file.rows, self.with_bos, self.given_target(),
                             self.as_chat)  # fmt: skip
        made: Prompts = self.get(job)
        return made

    def changed_prompts(self) -> Prompts:
        """The file of prompts with the changes of ``--stack``."""
        return replace(self.prompts(), changes=self.stack)

    def one_prompt(self) -> Prompts:
        """The prompt as a file of one, with its answer."""
        run, target, text = self.run, self.target(), self.options.prompt or ""
        return Prompts(repr((run, target)), "the prompt", (run,), (target,), (text,))

    def reference(self) -> Prompts:
        """The prompts of ``--reference`` without their answers, tokenized; without it those of ``--prompts``."""
        o = self.options
        path = o.reference or o.prompts
        file = prompts.read(path, prompts.parse_fields(o.fields) if o.fields and path == o.prompts else {})
        rows = tuple(PromptRow(row.text) for row in file.rows)
        made: Prompts = self.get(PreparePrompts(self.model.key, Path(path).name, rows, self.with_bos,
                                                chat=self.as_chat))  # fmt: skip
        return made

    def circuit(self) -> Circuit:
        """The circuit that is named: of a file, or one that was kept for the model; Missing where neither is one, with
        the line of a file that is none."""
        path = self.options.file
        if not Path(path).exists():
            circuits, problem = kept.read(self.model.key, self.model.name)
            if path in circuits:
                return circuits[path]
            names = ", ".join(circuits) or "none"
            raise Missing(f"{path} cannot be read: No such file or directory. Nor is it a circuit that was kept for "
                          f"{self.model.name}: {problem or names}.", f"Write {_LINES}")  # fmt: skip
        found = circuit_at(self._text(path, _LINES))
        if isinstance(found, str):
            raise Missing(f"{path}, {found}.")
        return found

    @staticmethod
    def _text(path: str, hint: str) -> str:
        try:
            return Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise Missing(f"{path} cannot be read: {why}.", f"Write {hint}") from None

    def words_after(self, text: str) -> tuple[int, ...]:
        """The tokens of a text that goes on after the prompt: no BOS before it."""
        found: Tokens = self.get(Tokenize(self.model.key, text, False))
        return found.ids

    notes: tuple[str, ...] = ()
    """What to know about the file of prompts."""
