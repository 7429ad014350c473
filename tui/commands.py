"""The table of commands: bindings, footer, palette, help overlay and the README's key table all come from it.

What every page shares stands here; pages bring their own keys, and the help of a key that pages answer differently is
made of what they say. A command's ``action`` names a method of the explorer. Keys are letters, digits, function keys,
arrows, enter, space and ctrl with a letter, since other keys do not survive every terminal; ctrl+a, b, s, z, h, i and
m belong to tmux, screen or the terminal itself. Users remap by ``id`` in the config file's ``[keys]`` table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from . import pages
from .declared import Command
from .page import Page

GROUPS = ("App", "Prompt", "Go", "Find", "Change", "Cursor", "Look")
_DISPLAY = {
    "question_mark": "?", "colon": ":", "left_square_bracket": "[", "right_square_bracket": "]",
    "left_curly_bracket": "{", "right_curly_bracket": "}", "comma": ",", "full_stop": ".", "semicolon": ";",
    "left_parenthesis": "(", "right_parenthesis": ")", "less_than_sign": "<", "greater_than_sign": ">",
    "plus": "+", "vertical_line": "|", "at": "@", "equals_sign": "=", "percent_sign": "%", "tilde": "~",
    "circumflex_accent": "^", "quotation_mark": '"', "apostrophe": "'", "minus": "-", "asterisk": "*",
    "number_sign": "#", "underscore": "_", "exclamation_mark": "!", "dollar_sign": "$", "ampersand": "&",
    "backslash": "\\",
    "up": "↑", "down": "↓", "left": "←", "right": "→", "slash": "/",
    **{f"f{number}": f"F{number}" for number in range(1, 25)},
}  # fmt: skip

_PUNCTUATION = {name for name, shown in _DISPLAY.items() if len(shown) == 1 and shown.isascii()}

SHARED: tuple[Command, ...] = (
    Command("help", ("question_mark", "f1"), "help", "help", "This list; type to search it, enter runs the entry.",
            "App", footer="help"),
    Command("palette", ("colon", "ctrl+p"), "palette", "commands",
            "Command palette; L10H2 jumps to that head, L2N17 to that neuron, 120 to that position, find volcano to "
            "that token, prompts FILE opens a file of prompts, model NAME another model, checkpoint NAME a training "
            "step, continue 20 0.8 seed 3 says what comes next, continuation TEXT is what the metric loss is of, chat "
            "puts the prompt into the model's chat template; the values of a view's options are there by name.",
            "App", footer="commands"),
    Command("prompt", ("i",), "edit_prompt", "prompt",
            "Edit the prompt; results follow as you type. Up and down walk the history, esc or enter leaves.",
            "Prompt", footer="prompt"),
    Command("append", ("ctrl+n",), "append_token", "append token",
            "Append the likeliest next token to the prompt.", "Prompt", also="continue generate"),
    Command("checkpoint_previous", ("f7",), "move('checkpoint', -1)", "training step −",
            "The weights of the training step before, of a run with several files of weights or folders such as "
            "checkpoint-500: view, head, prompt, cursor, answer and changes stay. :checkpoint 1000 goes to one.", "Go",
            also="dynamics"),
    Command("checkpoint_next", ("f8",), "move('checkpoint', 1)", "training step +",
            "The weights of the next training step.", "Go", also="dynamics"),
    Command("bos", ("B",), "move('bos')", "BOS", "Put a BOS token before the prompt, or not.", "Prompt", also="begin"),
    Command("answer", ("A",), "ask('answer')", "answer",
            "What Lens, Attribution and Residual speak of: Paris, or Paris - Berlin with a distractor; several are "
            "averaged. A word of several tokens shows them to pick one. Empty: the likeliest token after the last "
            "position.", "Prompt"),
    Command("position_previous", ("left_parenthesis",), "move('position', -1)", "position −",
            "Previous position of the prompt, in every view.", "Prompt"),
    Command("position_next", ("right_parenthesis",), "move('position', 1)", "position +",
            "Next position of the prompt.", "Prompt"),
    Command("prompts", ("O",), "ask('prompts')", "file of prompts",
            "Open a file of prompts: JSON, CSV, TSV with prompt, answer, distractor, or plain text, one prompt a line; "
            "capital, induction and indirect object come with the app.", "Prompt", also="dataset"),
    Command("over", ("F",), "move('over')", "all prompts", "Mean and spread over the file of prompts, or one prompt.",
            "Prompt"),
    Command("prompt_previous", ("less_than_sign",), "move('prompt', -1)", "prompt −", "Previous prompt of the file.",
            "Prompt"),
    Command("prompt_next", ("greater_than_sign",), "move('prompt', 1)", "prompt +", "Next prompt of the file.",
            "Prompt"),
    Command("head_previous", ("left_curly_bracket",), "move('head', -1)", "head −", "Previous head.", "Go",
            footer="head"),
    Command("head_next", ("right_curly_bracket",), "move('head', 1)", "head +", "Next head.", "Go", footer="head"),
    Command("layer_previous", ("left_square_bracket",), "move('layer', -1)", "layer −", "Previous layer, same head.",
            "Go", footer="layer"),
    Command("layer_next", ("right_square_bracket",), "move('layer', 1)", "layer +", "Next layer, same head.", "Go",
            footer="layer"),
    Command("card", ("C",), "open_card", "head card",
            "All about the head on one screen: scores, top pairs, who feeds it, whom it feeds, your note.", "Find"),
    Command("filter", ("semicolon",), "ask('filter')", "filter",
            "Pairs: which tokens are searched (3+, /ing$/, same). Elsewhere: which heads the tree lists: ind>0.6, >0.6 "
            "(the score that Heads shows), L2, ★ (bookmarked), note TEXT.", "Find"),
    Command("tree_order", ("L",), "move('order')", "sort tree",
            "Heads of the tree by the score that Heads shows, or by layer.", "Find"),
    Command("knock_out", ("a",), "stack('toggle')", "knock out",
            "Knock out the head, MLP or neuron under the cursor (tree, cell or row of a list), or bring it back; every "
            "view then shows the changed model.", "Change", also="ablate zero"),
    Command("mark", ("space",), "stack('mark')", "mark", "Mark the part under the cursor: a then takes all that are "
            "marked.", "Change"),
    Command("kind", ("E",), "stack('kind')", "kind", "How parts are knocked out, the last one (in the list of "
            "changes that under the cursor) too: zero, zero with value biases folded, mean, resample and noise (over "
            "the open file of prompts), scale.", "Change"),
    Command("change", ("G",), "stack('write')", "write a change", "Write a change, or edit the last one, in the list of"
            " changes that under the cursor: L1H3@4-6 scale 0.5, L2.mlp mean, L1H3 5>3 drop.", "Change"),
    Command("place", ("at",), "stack('place')", "where", "Where the last change (in the list of changes that under the "
            "cursor) is made: everywhere, at the cursor's position, from there on, up to there.", "Change"),
    Command("shift", ("circumflex_accent",), "stack('shift')", "move a change", "The list of changes: move the one "
            "under the cursor one up, the first to the bottom.", "Change"),
    Command("steer", ("I",), "ask('steer')", "add a vector", "Add a direction to the stream: a token's or the "
            "difference of two, a head's singular direction, the two prompts' difference, a vector of a .npy or "
            ".safetensors file.", "Change", also="steering"),
    Command("cut", ("x",), "stack('cut')", "cut edge", "Pattern: knock out the cell under the cursor (its row "
            "renormalises), then drop it, then whole again.", "Change"),
    Command("contrast", ("d",), "stack('contrast')", "contrast", "The changed model, the clean one, or the difference "
            "of the two, in every picture and list.", "Change"),
    Command("continue", ("plus",), "stack('continue')", "continue", "What the model says next, twenty tokens: clean "
            "and changed side by side; enter appends what was said up to there. Again: no longer.", "Change"),
    Command("sampling", ("tilde",), "ask('continue')", "draw", "How the model goes on: tokens, temperature and seed, "
            "such as 20 0.8 seed 3; the likeliest tokens without a temperature.", "Change"),
    Command("circuit", ("c",), "stack('circuit')", "circuit", "Put the head or MLP under the cursor into the circuit, "
            "or take it out; in Paths the edge. The panel circuit has its faithfulness, completeness and minimality "
            "over the open file, beside ten random circuits of its size; it is kept for the model.", "Change"),
    Command("circuits", ("quotation_mark",), "ask('circuits')", "circuits", "Another circuit of the model by its name, "
            "a new one, a name for this one; empty forgets it. All are kept for the model.", "Change"),
    Command("pin", ("vertical_line",), "pin", "pin", "Pin what is shown beside what comes, with one cursor and one "
            "colour scale; again: the difference of the two; again: no longer. It stays beside another model of the "
            "same vocabulary.", "Look"),
    Command("undo", ("backspace",), "undo", "undo", "Take the last change back: prompt, answer, file, option, circuit, "
            "change of the model, session; in the list of changes take the one under the cursor off. , is for places.",
            "Change"),
    Command("redo", ("ctrl+r",), "redo", "redo", "Make what was undone again.", "Change"),
    Command("back", ("comma",), "travel(True)", "back", "Back to where you were before the last jump.", "Go",
            also="previous"),
    Command("forward", ("full_stop",), "travel(False)", "forward", "Forward again.", "Go", also="next"),
    Command("up", ("k", "up"), "cursor(-1, 0)", "up", "Move the cursor.", "Cursor"),
    Command("down", ("j", "down"), "cursor(1, 0)", "down", "Move the cursor.", "Cursor"),
    Command("left", ("h", "left"), "cursor(0, -1)", "left", "Move the cursor.", "Cursor"),
    Command("right", ("l", "right"), "cursor(0, 1)", "right", "Move the cursor.", "Cursor"),
    Command("top", ("g", "ctrl+home"), "edge(0, -1)", "first row", "Cursor to the first row.", "Cursor",
            also="gg start first"),
    Command("bottom", ("Z", "ctrl+end"), "edge(0, 1)", "last row", "Cursor to the last row.", "Cursor",
            also="last end"),
    Command("row_start", ("home",), "edge(-1)", "first column", "Cursor to the first column.", "Cursor"),
    Command("row_end", ("end",), "edge(1)", "last column", "Cursor to the last column.", "Cursor"),
    Command("find", ("ctrl+f",), "find", "find in view", "Find a token or a label in what has the keys: rows, where "
            "none has it columns, then cells; ,text: columns alone; a list: its rows. The cursor goes there as you "
            "type, up and down to the others; enter keeps it, esc goes back.", "Cursor", also="search label"),
    Command("sort_list", ("dollar_sign",), "arrange('sort')", "sort list", "The list by its next column, the heading "
            "says which; behind the last as it comes. :sort value goes to one, again turns it round. Ranks and what is "
            "exported stay.", "Cursor", also="order column"),
    Command("filter_list", ("ampersand",), "arrange('filter')", "filter list", "Rows of the list with a text, or "
            "(!text) without it; empty: all of them, hidden ones too.", "Cursor", also="rows show unhide"),
    Command("hide_row", ("backslash",), "arrange('hide')", "hide row", "Hide the row under the cursor; & and enter "
            "show all again.", "Cursor"),
    Command("next_match", ("asterisk",), "match(1)", "next match", "Next place that reads as what ctrl+f or :find "
            "looked for, else as the token in the cursor's row. :120 goes to a position, :12,45 to a cell.", "Cursor",
            also="find search token"),
    Command("previous_match", ("number_sign",), "match(-1)", "previous match", "The match before.", "Cursor"),
    Command("largest_in_row", ("underscore",), "largest(False)", "next in row", "Cursor to the largest cell of its "
            "row, then the next largest; by size where values have two signs.", "Cursor", also="largest maximum"),
    Command("largest_in_column", ("exclamation_mark",), "largest(True)", "next in column", "The same in its column.",
            "Cursor"),
    Command("page_down", ("ctrl+d", "pagedown"), "page(1)", "page down", "Cursor down by half a window.", "Cursor"),
    Command("page_up", ("ctrl+u", "pageup"), "page(-1)", "page up", "Cursor up by half a window.", "Cursor"),
    Command("open", ("enter",), "open", "open",
            "Open what is under the cursor: a head's pattern, an MLP's neurons, a neuron, a prompt of the file.",
            "Cursor"),
    Command("fit", ("z",), "fit", "fit", "A matrix larger than the window: two rows a line, then the whole of it in "
            "blocks that show their extremes, its axes in positions, then cells again.", "Look"),
    Command("scale", ("equals_sign",), "scale", "lock scale", "Keep this colour scale for other heads, prompts and "
            "modes, so that their pictures are comparable; again: each has its own. Beside a pinned picture: one scale "
            "for both, or one for each.", "Look"),
    Command("numbers", ("percent_sign",), "numbers", "numbers", "Values in the cells that have room for them, or "
            "colours alone.", "Look"),
    Command("mode", ("m",), "cycle('mode')", "mode", "", "Look", footer="mode"),
    Command("unit", ("u",), "cycle('unit')", "unit", "", "Look"),
    Command("cycle_back", ("minus",), "cycle_back", "one back", "One back in what was cycled last: m, u, n, f, b, p "
            "and the like. A value by its name is in the palette (:induction).", "Look", also="previous mode"),
    Command("directions", ("v",), "directions", "as tokens",
            "The vector under the cursor read out over the vocabulary: tokens it promotes and suppresses.", "Look"),
    Command("weights", ("w",), "move('weights')", "weights",
            "processed: norms folded, writing weights centred. raw: as stored.", "Look"),
    Command("panel", ("p",), "cycle_panel", "side panel",
            "Next side panel, then none: what belongs to the view, such as next tokens, parts, outputs, ranked lists, "
            "curves. On a small screen it takes the picture's place; esc brings that back.", "Look",
            footer="panel"),
    Command("tree", ("H",), "toggle_tree", "tree", "Show or fold the tree of heads.", "Look"),
    Command("export", ("e",), "export", "export", "Write what is shown to a file here: its numbers as JSON (enter), "
            "CSV or NPZ, or a figure for a paper as SVG, PDF or PNG; o says how figures are: ground, size, numbers in "
            "the cells, several heads in a row.", "App",
            footer="export", also="svg csv json npz pdf png write file figure"),
    Command("copy", ("y",), "copy", "copy", "Copy the cell, its row or column, all of the picture, the list beside "
            "it, the prompt, the shell command that exports this very view, or Python code with TransformerLens that "
            "gives the same numbers: to the terminal's clipboard and to a file.", "App",
            also="yank clipboard tsv python snippet command"),
    Command("models", ("M",), "models", "models", "Models opened before, checkpoints of a run, the hub's cache, "
            "folders below this one, each with a card: sizes, memory needed and free, what is off and why. Type "
            "to filter, or the name of any: demo, a hub name, a folder; enter opens it in place of this one.", "App",
            also="model open load switch recent checkpoint"),
    Command("save", (), "kept('save')", "save session", "save NAME keeps model, prompt, view, changes and all that was "
            "chosen as a file that open NAME, --session FILE and export --session FILE open. Unnamed it saves itself, "
            "and the next start of the model goes on there.", "App"),
    Command("sessions", (), "kept('sessions')", "open session", "open lists the sessions that were saved; open NAME "
            "or open FILE opens one.", "App"),
    Command("fresh", (), "kept('fresh')", "fresh start", "As a start with --fresh: nothing of the session before; "
            "backspace brings it back.", "App", also="reset new"),
    Command("log", (), "kept('log')", "log", "What was done, line by line; w writes it to a file that export --replay "
            "FILE does again.", "App", also="history replay"),
    Command("tour", ("f4",), "tour", "tour", "Two minutes with ten keys, one after the other; esc leaves it.", "App",
            also="tutorial introduction start learn"),
    Command("jobs", ("J",), "jobs", "jobs", "What the worker computes, what waits, was stopped and is kept, with time "
            "and memory; x stops the job under the cursor, or asks for it again.", "App",
            also="cancel stop memory cache threads"),
    Command("themes", ("T",), "choose_theme", "theme", "Choose a colour theme.", "App",
            also="dark light colours colors"),
    Command("quit", ("q",), "quit", "quit", "Leave.", "App", footer="quit", also="exit leave close"),
)  # fmt: skip


def of_page(page: Page) -> Command:
    """The key that shows a page."""
    id = f"view_{page.name}" if page.key.isdigit() else page.name
    return Command(id, (page.key,), f"show('{page.name}')", page.title, page.help, page.group)


_remapped: dict[str, tuple[str, ...]] = {}
"""Command id → the keys that the user has given it."""


def remap(wanted: Mapping[str, tuple[str, ...]]) -> None:
    """Give commands other keys, those that are not named their own again. ``remapping`` checks them first."""
    _remapped.clear()
    _remapped.update(wanted)


def every() -> tuple[Command, ...]:
    """All commands, group by group, with what pages make of a key where they make different things of it."""
    return tuple(sorted(map(_explained, _known()), key=lambda command: GROUPS.index(command.group)))


def defaults() -> Iterator[Command]:
    """All commands, with the keys that they have unless the user gives them others."""
    yield from SHARED
    for page in pages.every():
        yield of_page(page)
        yield from page.commands


def _known() -> Iterator[Command]:
    for command in defaults():
        yield replace(command, keys=_remapped[command.id]) if command.id in _remapped else command


def _explained(command: Command) -> Command:
    says: dict[str, list[str]] = {}
    for page in pages.every():
        for option in page.options:
            if option.key == command.id and option.help:
                says.setdefault(option.help, []).append(page.title)
    made = [f"{', '.join(titles)}: {text}." for text, titles in says.items()]
    if command.id == "prompts":
        made.append(f"{', '.join(page.title for page in pages.over_files())} then show mean and spread over it.")
    return replace(command, help=" ".join((command.help, *made)).strip())


def by_id(command_id: str) -> Command:
    """The command of that id. StopIteration if there is none."""
    return next(command for command in _known() if command.id == command_id)


def display(key: str) -> str:
    """A key as a person reads it: ``question_mark`` → ``?``."""
    return _DISPLAY.get(key, key)


def key_named(text: str) -> str:
    """A key as Textual names it: ``?`` → ``question_mark``, ``F5`` → ``f5``; any other text as it is."""
    return next((name for name, shown in _DISPLAY.items() if shown == text), text)


def punctuation() -> list[str]:
    """The names of keys that are signs."""
    return sorted(_PUNCTUATION)


def typed_keys(command: Command) -> tuple[str, ...]:
    """Its keys that are text in a text field: letters, digits, punctuation."""
    return tuple(key for key in command.keys if len(key) == 1 or key in _PUNCTUATION)


def other_keys(command: Command) -> tuple[str, ...]:
    """Its keys that are not: arrows, function keys, ctrl with a letter."""
    return tuple(key for key in command.keys if key not in typed_keys(command))


def key_table() -> str:
    """The README's table of keys, in Markdown."""
    lines = ["| keys | command | what it does |", "| --- | --- | --- |"]
    for command in every():
        typed = command.keys or (f":{command.id}",)
        keys = " ".join(f"`{display(key)}`" for key in typed).replace("|", "\\|")
        lines.append(f"| {keys} | {command.label} | {command.help} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(key_table())
