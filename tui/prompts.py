"""Files of prompts as people have them: plain text, JSON lines, a JSON array, CSV or TSV with a header.

What parses as one of these is read so: objects and rows have ``prompt``, ``answer`` and ``distractor``, or other keys
that ``fields`` maps to them; an array may hold the prompts alone. ``answer`` and ``distractor`` are a word or a list of
words and may be left out. Pairs for patching have ``clean`` and ``corrupted`` for a prompt. In plain text every line
that is not blank is a prompt, as it stands, also one that begins with a bracket. What is clearly something else, or one
of these with a mistake in it, is refused. A name of ``samples.PROMPTS`` is read as the prompts that come with the app,
unless there is a file of that name.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from .engine import jobs
from .samples import PROMPTS as SAMPLES
from .text import shorten

LINES, BYTES = 100_000, 64 << 20
"""Most that a file may have: beyond, it is a data set, not a list of prompts to look at."""
FIELDS = ("prompt", "answer", "distractor")
_AS_NAMED: Mapping[str, str] = MappingProxyType({})
_LIKELY = {
    "prompt": ("prompts", "text", "question", "input", "sentence", "query"),
    "answer": ("answers", "label", "target", "correct", "completion"),
    "distractor": ("distractors", "wrong", "wrong_answers", "incorrect"),
}
"""Keys that others use, for hints."""
_TABLES, _JSON_LINES = {".csv": ",;\t", ".tsv": "\t,;"}, (".jsonl", ".ndjson")
_OBJECT = re.compile(r"""\{\s*["'][^"'\n]*["']\s*:""")
_ARRAY = re.compile(r"""\[\s*(?:\{\s*["']|\n\s*"|"(?:\\.|[^"\\\n])*"\s*,\s*\n)""")
"""How JSON begins: text that begins so and does not parse is JSON with a mistake in it."""
_OTHERS = (
    ("\0", "is not a text file", "Give a text file: prompts one a line, JSON, CSV or TSV."),
    (r"\s*<(?:!doctype\s|html[\s>]|\?xml\s)", "is a web page or other markup", "Save the raw file itself."),
    (r"version https://git-lfs", "is a pointer of git-lfs, not the file itself", "Fetch it with `git lfs pull`."),
)
_TEXT = "(?:prompt|text|input|sentence|string)s?"
_CLEAN, _CORRUPTED = (
    re.compile(f"(?:{_TEXT}[ _.-]?)?(?:{words})(?:[ _.-]?{_TEXT})?", re.IGNORECASE)
    for words in ("clean", "corrupt(?:ed)?|counterfactual")
)


class PromptsError(ValueError):
    """What is wrong with a file of prompts, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class PromptFile:
    """What was read from a file."""

    rows: tuple[jobs.PromptRow, ...]
    """At least one."""
    notes: tuple[str, ...] = ()
    """Sentences on what is in the file and was not read."""


@dataclass(frozen=True)
class _Records:
    """Rows with named values, before it is said which of them are what."""

    noun: str
    """What its names are called: ``key`` or ``column``."""
    names: tuple[str, ...]
    rows: list[tuple[str, dict[str, object]]]
    """Where each stands (``Line 3 of facts.csv``), and its values."""


def read(path: str | Path, fields: Mapping[str, str] = _AS_NAMED) -> PromptFile:
    """The prompts of a file. ``fields``: field → its key or column, where that has another name (``parse_fields``).

    PromptsError says what is wrong, with the number of the line or entry.
    """
    if (sample := SAMPLES.get(str(path).lower())) and not Path(path).exists():
        if fields:
            raise PromptsError(f"{path} comes with the app: it has no keys to map.", "Leave --fields out.")
        return PromptFile(tuple(jobs.PromptRow(*row) for row in sample))
    records, lines, count = _records(path, fields)
    if records is not None:
        return _mapped(path, records, fields)
    _few(path, count, "lines")
    if fields:
        raise PromptsError(f"{path} is plain text, one prompt a line: it has no keys to map.", "Leave --fields out.")
    return PromptFile(tuple(jobs.PromptRow(line) for _, line in lines))


def read_pairs(path: str | Path) -> PromptFile:
    """The pairs of a file. PromptsError as `read`, and where it has none."""
    file = read(path)
    if not file.rows[0].corrupted:
        hint = 'Write {"clean": "…", "corrupted": "…", "answer": "…", "distractor": "…"}, one a line.'
        raise PromptsError(f"{path} has no clean and corrupted prompts.", hint)
    return file


def is_file(text: str) -> bool:
    """Whether a text that may be a prompt is the path of a file instead."""
    return Path(text).suffix.lower() in (".json", *_JSON_LINES, *_TABLES) and "\n" not in text


def _records(path: str | Path, fields: Mapping[str, str]) -> tuple[_Records | None, list[tuple[int, str]], int]:
    """The rows of a file; None where it is plain text. And its lines that are not blank, with their numbers, and the
    number of all lines."""
    text = _text(path)
    lines = text.removesuffix("\n").split("\n")
    numbered = [(number, line.rstrip("\r")) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise _empty(path)
    return _json(path, text, numbered, fields) or _table(path, text, fields), numbered, len(lines)


def parse_fields(text: str) -> dict[str, str]:
    """``prompt=text,answer=label`` → field to key. PromptsError where it is something else."""
    out: dict[str, str] = {}
    for part in text.split(","):
        field, _, name = (piece.strip() for piece in part.partition("="))
        if field not in FIELDS or field in out or not name:
            hint = "Write prompt=text,answer=label: each field once, then its key or column in the file."
            raise PromptsError(f"--fields {text}: fields are {', '.join(FIELDS)}.", hint)
        out[field] = name
    return out


def split_fields(text: str) -> tuple[str, dict[str, str]]:
    """``FILE --fields prompt=text``, as it is typed on one line → path and fields. PromptsError as `parse_fields`."""
    match = re.fullmatch(r"(.*\S)\s+--fields(?:[\s=](.*))?", text, re.DOTALL)
    return (match[1], parse_fields(match[2] or "")) if match else (text, {})


def _text(path: str | Path) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            raw = file.read(BYTES + 1)  # no more: a device never ends
    except (OSError, ValueError, RuntimeError) as error:  # also what no path can be, and a home that nobody has
        why = getattr(error, "strerror", None) or error
        hint = f"Give the path of a text file, or {', '.join(SAMPLES)}."
        raise PromptsError(f"{path} could not be read: {why}.", hint) from None
    if len(raw) > BYTES:
        raise PromptsError(f"{path} is larger than {BYTES >> 20} MB.", "Use a part of it.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PromptsError(f"{path} is not text in UTF-8.", "Save it as UTF-8.") from None
    for sign, what, hint in _OTHERS:
        if sign in text if sign == "\0" else re.match(sign, text, re.IGNORECASE):
            raise PromptsError(f"{path} {what}.", hint)
    return text


def _empty(path: str | Path) -> PromptsError:
    return PromptsError(f"There is no prompt in {path}.", "Write one a line.")


def _few(path: str | Path, count: int, noun: str) -> None:
    if count > LINES:
        raise PromptsError(f"{path} has {count:,} {noun}.", f"Use a file of at most {LINES:,}.")


# --- JSON ------------------------------------------------------------------------------------------------------------


def _json(path: str | Path, text: str, lines: list[tuple[int, str]], fields: Mapping[str, str]) -> _Records | None:
    """Rows of a JSON array or of JSON lines; None where the text is neither."""
    suffix, first = Path(path).suffix.lower(), lines[0][1].lstrip()
    named = suffix == ".json" or suffix in _JSON_LINES
    if suffix in _TABLES or (not named and first[:1] not in ("[", "{")):
        return None
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if suffix in _JSON_LINES or _OBJECT.match(first) or _are_rows(line for _, line in lines):
            return _of_lines(path, lines)
        if named or _OBJECT.match(text.lstrip()) or _ARRAY.match(text.lstrip()):
            where = f"Line {error.lineno} of {path}" if isinstance(error, json.JSONDecodeError) else f"{path}"
            raise _not_json(where, error) from None
        return None
    if isinstance(whole, list):
        return _of_array(path, whole, fields)
    if not isinstance(whole, dict):
        raise PromptsError(f"{path} is one JSON value, not a list of prompts.", 'Write ["…", "…"].')
    lists = [key for key, value in whole.items() if isinstance(value, list) and any(isinstance(v, dict) for v in value)]
    if lists and fields.get("prompt", "prompt") not in whole:
        raise PromptsError(
            f"{path} is a JSON object, not a list of prompts.", f"Save the list under {_quoted(lists[:1])} alone."
        )
    return _of_lines(path, [(lines[0][0], text)])


def _are_rows(lines: Iterable[str]) -> bool:
    """Whether each line is an object, or an array that holds texts or objects: numbers and brackets are prompts."""
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(value, dict) and not (
            isinstance(value, list) and any(isinstance(entry, str | dict) for entry in value)
        ):
            return False
    return True


def _of_lines(path: str | Path, lines: list[tuple[int, str]]) -> _Records:
    _few(path, lines[-1][0], "lines")
    rows: list[tuple[str, dict[str, object]]] = []
    for number, line in lines:
        where = f"Line {number} of {path}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _not_json(where, error) from None
        if not isinstance(values, dict):
            raise PromptsError(f"{where} is no JSON object.", 'Write {"prompt": "…", "answer": "…"}.')
        rows.append((where, values))
    return _Records("key", _names(rows), rows)


def _of_array(path: str | Path, entries: list[object], fields: Mapping[str, str]) -> _Records:
    if not entries:
        raise _empty(path)
    _few(path, len(entries), "prompts")
    rows: list[tuple[str, dict[str, object]]] = []
    for number, entry in enumerate(entries, 1):
        where = f"Entry {number} of {path}"
        if not isinstance(entry, str | dict):
            hint = 'Write ["…", "…"] or [{"prompt": "…"}]; a prompt that is itself an array as {"prompt": "[1, 2]"}.'
            raise PromptsError(f"{where} is neither a text nor an object.", hint)
        rows.append((where, entry if isinstance(entry, dict) else {fields.get("prompt", "prompt"): entry}))
    return _Records("key", _names(rows), rows)


def _names(rows: Iterable[tuple[str, dict[str, object]]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(values for _, values in rows)))


def _not_json(where: str, error: Exception) -> PromptsError:
    at = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
    return PromptsError(f"{where} is not JSON: {at}.", 'Write one object a line: {"prompt": "…"} holds any text.')


# --- CSV and TSV -----------------------------------------------------------------------------------------------------


def _table(path: str | Path, text: str, fields: Mapping[str, str]) -> _Records | None:
    """Rows under a header that names a field. Only a file called a table must have one, and may have one column."""
    delimiters = _TABLES.get(Path(path).suffix.lower())
    best: list[str] = []
    for delimiter in delimiters or ",\t;":
        lines = _lines_of(text, delimiter)
        try:
            header = [name.strip() for name in next(lines)[1]]
        except csv.Error as error:
            if delimiters:
                raise _no_table(path, 0, error) from None
            continue
        known = {_named(field, header, fields) for field in FIELDS}.intersection(header)
        if (known or _pairs(header)) and (delimiters or len(header) > 1):
            return _of_table(path, header, lines)
        best = max(best, header, key=len)
    if delimiters is None:
        return None
    alone = "Write a header, such as prompt,answer, or save prompts one a line as a .txt file."
    hint = alone if len(best) == 1 and not _likely("prompt", best) else _which("column", best)
    raise PromptsError(f"{path} has no column of prompts: its header is {_quoted(best)}.", hint)


def _of_table(path: str | Path, header: list[str], lines: Iterator[tuple[int, list[str]]]) -> _Records:
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise PromptsError(f"{path} has two columns {_quoted(twice[:1])}.", "Rename one of them.")
    rows: list[tuple[str, dict[str, object]]] = []
    number = 1
    try:
        for number, cells in lines:
            where = f"Line {number} of {path}"
            if len(cells) > len(header):
                counts = f"{len(cells)} cells for {len(header)} column{'s' * (len(header) != 1)}"
                raise PromptsError(f"{where} has {counts}.", 'Put a text with commas in it in "quotes".')
            rows.append((where, {name: cell for name, cell in zip(header, cells, strict=False) if cell.strip()}))
    except csv.Error as error:
        raise _no_table(path, number, error) from None
    if not rows:
        raise _empty(path)
    _few(path, len(rows), "rows")
    return _Records("column", tuple(filter(None, header)), rows)


def _no_table(path: str | Path, number: int, error: csv.Error) -> PromptsError:
    hint = 'Write a text with quotes in it "with ""these"" doubled".'
    return PromptsError(f"{path} is no table after its line {number}: {error}.", hint)


def _lines_of(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of each line that has any, with the number of its first line. csv.Error where quotes do not match."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    for cells in lines:
        if any(cell.strip() for cell in cells):
            yield start, cells
        start = lines.line_num + 1


# --- fields ----------------------------------------------------------------------------------------------------------


def _mapped(path: str | Path, records: _Records, fields: Mapping[str, str]) -> PromptFile:
    """The rows, with a note on what is not read of them."""
    names = {field: _named(field, records.names, fields) for field in FIELDS}
    pairs = _pairs(records.names) if names["prompt"] not in records.names and "prompt" not in fields else []
    if pairs:
        names |= {"prompt": pairs[0], "corrupted": next(filter(_CORRUPTED.fullmatch, pairs))}
    of = f"the {records.noun}{'s' * (len(records.names) != 1)} {_quoted(records.names)}"
    has = f"it has {of if records.names else 'nothing'}"
    for field in fields:
        if names[field] not in records.names:
            raise PromptsError(f"{path} has no {records.noun} {_quoted([names[field]])}: {has}.", "Map one of those.")
    if names["prompt"] not in records.names:
        raise PromptsError(f"{records.rows[0][0]} has no prompt: {has}.", _which(records.noun, records.names))
    rows = tuple(_row(where, values, names) for where, values in records.rows)
    return PromptFile(rows, tuple(_notes(Path(path).name, records, names)))


def _notes(file: str, records: _Records, names: Mapping[str, str]) -> Iterator[str]:
    unused = [name for name in records.names if name not in names.values()]
    if "corrupted" in names:
        yield f"{file} has pairs: Patching (9) and Paths (Y) take both prompts, everything else the clean ones."
    corrupted = list(filter(_CORRUPTED.fullmatch, unused))
    if corrupted:
        yield f"{file} has corrupted prompts too ({_quoted(corrupted)}): they are read beside a key “clean”."
    if others := [name for name in unused if name not in corrupted]:
        guess = "" if names["answer"] in records.names else _likely("answer", others)
        maps = f"; --fields answer={guess} reads answers from there" if guess else ""
        yield f"{file} has {records.noun}s that are not used: {_quoted(others)}{maps}."


def _pairs(names: Sequence[str]) -> list[str]:
    """The names of clean and of corrupted prompts, the clean first; empty without both."""
    clean, corrupted = (list(filter(kind.fullmatch, names)) for kind in (_CLEAN, _CORRUPTED))
    return [*clean, *corrupted] if clean and corrupted else []


def _which(noun: str, names: Iterable[str]) -> str:
    """How to say where the prompts are."""
    return f"Say which one holds the prompts: --fields prompt={_likely('prompt', names) or noun.upper()}."


def _named(field: str, names: Iterable[str], fields: Mapping[str, str]) -> str:
    """What a field is called in the file: as mapped, else by its own name, in capitals or not."""
    if field in fields:
        return fields[field]
    alike = [name for name in names if name.strip().casefold() == field]
    return alike[0] if alike and field not in alike else field


def _likely(field: str, names: Iterable[str]) -> str:
    """The key that is most likely the field, to be named in a hint; empty where none is."""
    return next((name for likely in _LIKELY[field] for name in names if name.strip().casefold() == likely), "")


def _quoted(names: Iterable[str], most: int = 8) -> str:
    every = [repr(shorten(name, 40)) for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def _row(where: str, values: Mapping[str, object], names: Mapping[str, str]) -> jobs.PromptRow:
    text = values.get(names["prompt"])
    if not isinstance(text, str) or not text:
        raise PromptsError(f"{where} has no prompt.", "Each has one, a text that is not empty.")
    corrupted = values.get(names["corrupted"]) if "corrupted" in names else ""
    if not isinstance(corrupted, str) or ("corrupted" in names and not corrupted):
        raise PromptsError(f"{where} has no corrupted prompt.", "Each has one, as many tokens long as the clean one.")
    answer, distractor = (_words(where, field, values.get(names[field])) for field in FIELDS[1:])
    if distractor and not answer:
        raise PromptsError(f"{where} has a distractor and no answer.", "Give both, or the answer alone.")
    return jobs.PromptRow(text, answer, distractor, corrupted)


def _words(where: str, field: str, value: object) -> str:
    given = value if isinstance(value, list) else [] if value is None else [value]
    words = [word.strip() for word in given if isinstance(word, str)]
    if len(words) < len(given) or not all(words):
        raise PromptsError(f"{where}: {field} must be a word or a list of words.", "Leave it out where there is none.")
    return ", ".join(words)
