"""The line of a shell that exports what is shown: ``circuit-tui export`` with the options that give the same job.

Each export knows the options that it makes a job of (``Export.gives``); here they are written so that a shell reads
them: a run as the prompt that it is of, targets and tokens by their ids, changes of the model and circuits as a file on
standard input.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import notation, pages
from .declared import Export, Given, Say
from .engine import jobs
from .names import Circuit
from .pages.loss import LossLook
from .selection import Selection

PROGRAM = "circuit-tui"
_LEFT_OUT = {
    "form": "bilinear", "normalize": "none", "baseline": "shown", "basis": "embed", "term": "token-token",
    "outputs": "shown", "statistic": "mean", "weights": "processed", "seed": 0, "temperature": 0.0, "rows": 8,
}  # fmt: skip
"""Values that an export has without the option."""
_END = "END"
"""The line after a file on standard input."""


def export_of(job: jobs.Job) -> tuple[Export, Given] | None:
    """The export that makes a job, with its options; None: there is none."""
    for export in pages.exports().values():
        if (given := export.gives(job)) is not None:
            return export, given
    return None


def command(s: Selection, job: jobs.Job) -> str | Say:
    """The line that exports the job, or why there is none."""
    found = export_of(job)
    if found is None:
        return Say("no export has these numbers by themselves: e writes them to a file")
    export, given = found
    written = _Written(s)
    for name, value in given.items():
        written.add(name, value, export)
    written.changes(jobs.interventions_of(job))
    return written.line(export.name)


class _Written:
    """A command that is being put together."""

    def __init__(self, s: Selection) -> None:
        self._s = s
        self._words: list[str] = []
        self._file: Sequence[str] = ()
        """Lines of the file on standard input."""
        self._first = ""
        """The file after the export's name."""
        self._missing = ""
        """Why it cannot be written."""

    def line(self, name: str) -> str | Say:
        """The whole command."""
        if self._missing:
            return Say(self._missing)
        words = [PROGRAM, "export", name, *([self._first] if self._first else []), *self._model(), *self._words]
        line = " ".join(map(quoted, words))
        return "\n".join((f"{line} <<'{_END}'", *self._file, _END)) if self._file else line

    def add(self, name: str, value: Any, export: Export) -> None:
        """One option."""
        if value is None or value is False or value == () or _LEFT_OUT.get(name) == value:
            return
        if name == "weights" and name in export.ignores:
            return
        if isinstance(value, jobs.Run):
            self._run(name, value)
        elif isinstance(value, jobs.Prompts):
            self._prompts(name, value)
        elif isinstance(value, jobs.Target):
            sides = {"answer": value.answers, "distractor": value.distractors}
            for side, ids in sides.items():
                self._words += [f"--{side}", _tokens(ids)] if ids else []
        elif isinstance(value, Circuit):
            self._first, self._file = "/dev/stdin", [*value.lines(), *(["# nothing"] if not value.lines() else [])]
        elif name == "ids":
            self._run("run", jobs.Run(self._s.key, value, False) if self._s.key else None)
        elif name == "stack":
            self.changes(value)
        elif name == "continuation":
            self._words += ["--continuation", self._s.look(LossLook).text]
        elif name == "bos":
            self._bos(value)
        else:
            word = _tokens(value) if isinstance(value, tuple) else str(value)
            option = f"--{name.replace('_', '-')}"
            self._words += [option] if value is True else [f"{option}={word}" if word[:1] == "-" else option]
            self._words += [] if value is True or word[:1] == "-" else [word]

    def _run(self, name: str, run: jobs.Run | None) -> None:
        """The text that a run is of; its token ids where that is not known."""
        s = self._s
        if run is None:
            return
        known = {s.tokens.ids: s.text} if s.tokens is not None else {}
        if s.pair is not None and s.pair.tokens is not None:
            known[s.pair.tokens.ids] = s.pair.text
        text = known.get(run.ids)
        option = "prompt" if name == "run" else name
        if text is not None:
            self._words += [f"--{option}={text}"] if text.startswith("-") else [f"--{option}", text]
            if name != "corrupted":
                self._words += ["--chat"] if s.chat else []
                self._bos(s.with_bos)
        elif name == "run":
            self._words += ["--token-ids", ",".join(map(str, run.ids)) + ("," if len(run.ids) == 1 else "")]
        else:
            self._missing = f"the text of the {name} prompt is not known any more: P writes it anew"

    def _bos(self, wanted: bool) -> None:
        model = self._s.model
        if model is not None and not self._s.chat and wanted != model.bos_default and "--bos" not in self._words:
            self._words += ["--bos", "on" if wanted else "off"]

    def _prompts(self, name: str, prompts: jobs.Prompts) -> None:
        file = self._s.file
        if file is None or file.prepared is None or file.prepared.key != prompts.key:
            self._missing = f"the file of prompts that this is over is not open any more: O opens {prompts.name}"
            return
        if f"--{name}" in self._words or (name == "reference" and "--prompts" in self._words):
            return
        self._words += [f"--{name}", _whole(file.path)]
        if name == "prompts":
            self._words += ["--fields", file.fields] if file.fields else []
            self._words += ["--chat"] if self._s.chat else []
            self._bos(self._s.with_bos)

    def changes(self, changes: Sequence[jobs.Change]) -> None:
        """The changes of the model, one a line on standard input."""
        if not changes:
            return
        lines = [written(change) for change in changes]
        if "" in lines:
            change = changes[lines.index("")]
            self._missing = f"“{change}” cannot be written as a line of --stack: e writes these numbers to a file"
            return
        self._words += ["--stack", "/dev/stdin"]
        self._file = lines
        for change in changes:
            if isinstance(change, jobs.Ablation) and change.reference is not None:
                self._prompts("reference", change.reference)
            if isinstance(change, jobs.Ablation) and change.weights != "processed" and "--weights" not in self._words:
                self._words += ["--weights", change.weights]

    def _model(self) -> list[str]:
        made = self._s.open
        words = ["--model", _whole(made.source)]
        for name, value in (("device", made.device), ("dtype", made.dtype)):
            words += [f"--{name}", value] if value != "auto" else []
        words += ["--threads", str(made.threads)] if made.threads else []
        words += ["--device-map", _whole(made.device_map)] if made.device_map else []
        words += ["--max-memory", made.max_memory] if made.max_memory else []
        alone = {"weights": "--weights-only", "stream": "--stream"}.get(made.how)
        return [*words, alone] if alone else words


def written(change: jobs.Change) -> str:
    """A change as a line of ``--stack``; "" for what no line says."""
    if not isinstance(change, jobs.AddVector):
        return "" if isinstance(change, jobs.Patch) else notation.written(change)
    direction, span = change.direction, change.positions
    if direction.kind == "token":
        what = " - ".join(f"#{token}" for token in direction.ids)
    elif direction.kind == "singular":
        layer, head, index = direction.ids
        what = f"svd L{layer}H{head} {index}"
    else:
        return ""
    if span is not None and span != tuple(range(span[0], span[-1] + 1)):
        return ""
    place = "all" if span is None else str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}"
    return f"{change.amount:g} L{change.layer} @{place}: {what}"


def quoted(word: str) -> str:
    """A word as a shell takes it, with nothing in it that a terminal would obey."""
    if all(char.isprintable() for char in word):
        return shlex.quote(word)
    inner = "".join(
        f"\\{char}" if char in "\\'" else char if char.isprintable() else "".join(f"\\x{b:02x}" for b in char.encode())
        for char in word
    )
    return f"$'{inner}'"


def _tokens(ids: Sequence[int]) -> str:
    return ", ".join(f"#{token}" for token in ids)


def _whole(path: str) -> str:
    """A path from the root, so that the command runs in any folder; other names as they are."""
    return str(Path(path).expanduser().absolute()) if Path(path).expanduser().exists() else path
