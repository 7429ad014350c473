"""The table of commands: bindings, footer, palette, help overlay and the README's key table all come from it.

A command's ``action`` names a method of the explorer. Keys are letters, digits, function keys, arrows, enter, space
and ctrl with a letter, since other keys do not survive every terminal; ctrl+a, b, s, z, h, i and m belong to tmux,
screen or the terminal itself. Users remap by ``id`` in the config file's ``[keys]`` table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One thing the user can do."""

    id: str
    keys: tuple[str, ...]
    """In Textual's key names; the first is the one that is shown."""
    action: str
    label: str
    """A word or two for the footer and the palette."""
    help: str
    """One sentence: what it does and, where it matters, what it does not."""
    group: str
    footer: str = ""
    """Its word in the footer, "" to stay out of it; neighbours with the same word share one place there."""
    views: tuple[str, ...] = ()
    """The views in which it means something; empty: everywhere."""


_DISPLAY = {
    "question_mark": "?", "colon": ":", "left_square_bracket": "[", "right_square_bracket": "]",
    "left_curly_bracket": "{", "right_curly_bracket": "}", "comma": ",", "full_stop": ".", "semicolon": ";",
    "left_parenthesis": "(", "right_parenthesis": ")", "less_than_sign": "<", "greater_than_sign": ">",
    "up": "↑", "down": "↓", "left": "←", "right": "→", "f1": "F1", "slash": "/",
}  # fmt: skip

_PUNCTUATION = {name for name, shown in _DISPLAY.items() if len(shown) == 1 and shown.isascii()}

COMMANDS: tuple[Command, ...] = (
    Command("help", ("question_mark", "f1"), "help", "help", "This list; type to search it, enter runs the entry.",
            "App", footer="help"),
    Command("palette", ("colon", "ctrl+p"), "palette", "commands",
            "Command palette; L10H2 jumps to that head, L2N17 to that neuron, prompts FILE opens a file of prompts.",
            "App", footer="commands"),
    Command("prompt", ("i",), "edit_prompt", "prompt",
            "Edit the prompt; results follow as you type. Up and down walk the history, esc or enter leaves.",
            "Prompt", footer="prompt"),
    Command("append", ("g", "ctrl+n"), "append_token", "append token",
            "Append the likeliest next token to the prompt.", "Prompt"),
    Command("words", ("t",), "edit_words", "token list",
            "Tokens for QK and OV other than the prompt's: France, Paris, king or ids 0:52. Empty: the prompt's again.",
            "Prompt", views=("qk", "ov")),
    Command("bos", ("B",), "toggle_bos", "BOS", "Put a BOS token before the prompt, or not.", "Prompt"),
    Command("answer", ("A",), "edit_answer", "answer",
            "What Lens, Attribution and Residual speak of: Paris, or Paris - Berlin with a distractor; several are "
            "averaged. A word of several tokens shows them to pick one. Empty: the likeliest token after the last "
            "position.", "Prompt"),
    Command("position_previous", ("left_parenthesis",), "step_position(-1)", "position −",
            "Previous position of the prompt, in every view.", "Prompt"),
    Command("position_next", ("right_parenthesis",), "step_position(1)", "position +",
            "Next position of the prompt.", "Prompt"),
    Command("prompts", ("O",), "open_prompts", "file of prompts",
            "Open a file of prompts: one a line, or JSON lines with prompt, answer, distractor. Pattern, Lens and "
            "Attribution then show mean and spread over it.", "Prompt"),
    Command("over", ("F",), "toggle_over", "all prompts", "Mean and spread over the file of prompts, or one prompt.",
            "Prompt", views=("pattern", "lens", "attribution")),
    Command("prompt_previous", ("less_than_sign",), "step_prompt(-1)", "prompt −", "Previous prompt of the file.",
            "Prompt"),
    Command("prompt_next", ("greater_than_sign",), "step_prompt(1)", "prompt +", "Next prompt of the file.", "Prompt"),
    Command("head_previous", ("left_curly_bracket",), "step_head(-1)", "head −", "Previous head.", "Go", footer="head"),
    Command("head_next", ("right_curly_bracket",), "step_head(1)", "head +", "Next head.", "Go", footer="head"),
    Command("layer_previous", ("left_square_bracket",), "step_layer(-1)", "layer −", "Previous layer, same head.",
            "Go", footer="layer"),
    Command("layer_next", ("right_square_bracket",), "step_layer(1)", "layer +", "Next layer, same head.", "Go",
            footer="layer"),
    Command("direct", ("0",), "direct_path", "direct path",
            "No head: the direct path W_E W_U in OV, the model's bigrams. Any head key returns to a head.", "Go"),
    Command("view_pattern", ("1",), "view('pattern')", "pattern", "View 1: what the head attends to on the prompt.",
            "Go"),
    Command("view_qk", ("2",), "view('qk')", "QK", "View 2: which tokens seek which, from the weights alone.", "Go"),
    Command("view_ov", ("3",), "view('ov')", "OV", "View 3: what a token makes the head write.", "Go"),
    Command("view_residual", ("4",), "view('residual')", "residual",
            "View 4: the stream as a sum of what every component writes.", "Go"),
    Command("view_lens", ("5",), "view('lens')", "lens",
            "View 5: what each state of the stream would predict, were it the last.", "Go"),
    Command("view_attribution", ("6",), "view('attribution')", "attribution",
            "View 6: which parts of the stream push the answer's logit at one position.", "Go"),
    Command("view_heads", ("7",), "view('heads')", "heads",
            "View 7: one score of every head: induction, previous token, copying, …, or pairs that are searched for.",
            "Find"),
    Command("view_compose", ("8",), "view('compose')", "compose",
            "View 8: which heads feed the query, key or value of this one, or which it feeds.", "Find"),
    Command("search", ("slash",), "ask_pairs", "find heads",
            "Rank all heads by how they tie pairs of tokens together: France>Paris, king>queen.", "Find",
            footer="find"),
    Command("top_pairs", ("V",), "view('pairs')", "top pairs",
            "The strongest token pairs of the head's whole QK or OV circuit, exact, found as you watch; esc stops.",
            "Find"),
    Command("svd", ("D",), "view('svd')", "SVD",
            "Singular values of the head's W_QK or W_OV, each direction read out as tokens; up and down walk them.",
            "Find"),
    Command("virtual", ("X",), "toggle_virtual", "virtual head",
            "Compose: the circuit through the head under the cursor and this one, for the shown tokens.", "Find",
            views=("compose",)),
    Command("card", ("C",), "open_card", "head card",
            "All about the head on one screen: scores, top pairs, who feeds it, whom it feeds, your note.", "Find"),
    Command("filter", ("semicolon",), "ask_filter", "filter",
            "Pairs: which tokens are searched (3+, /ing$/, same). Elsewhere: which heads the tree lists (ind>0.6).",
            "Find"),
    Command("tree_order", ("L",), "toggle_order", "sort tree",
            "Heads of the tree by the score that Heads shows, or by layer.", "Find"),
    Command("repeats", ("R",), "ask_repeats", "repeats",
            "The repeated random tokens that heads are scored on: seed, rows, length.", "Find", views=("heads",)),
    Command("sources", ("S",), "sources", "sources",
            "What each source token gives the head to say about the answer, beside the pattern and the weights' OV.",
            "Go"),
    Command("why", ("W",), "view('why')", "why there",
            "Why the head looks there: the score of the cell under the cursor, split over pairs of earlier components.",
            "Go"),
    Command("neurons", ("U",), "view('neurons')", "neurons",
            "The layer's MLP: the neurons that matter most at the position, along the prompt, and what each writes.",
            "Go"),
    Command("back", ("comma",), "back", "back", "Back to where you were before the last jump.", "Go"),
    Command("forward", ("full_stop",), "forward", "forward", "Forward again.", "Go"),
    Command("up", ("k", "up"), "cursor(-1, 0)", "up", "Move the cursor.", "Cursor"),
    Command("down", ("j", "down"), "cursor(1, 0)", "down", "Move the cursor.", "Cursor"),
    Command("left", ("h", "left"), "cursor(0, -1)", "left", "Move the cursor.", "Cursor"),
    Command("right", ("l", "right"), "cursor(0, 1)", "right", "Move the cursor.", "Cursor"),
    Command("row_start", ("home",), "edge(-1)", "first column", "Cursor to the first column.", "Cursor"),
    Command("row_end", ("end",), "edge(1)", "last column", "Cursor to the last column.", "Cursor"),
    Command("page_down", ("ctrl+d", "pagedown"), "page(1)", "page down", "Cursor down by half a window.", "Cursor"),
    Command("page_up", ("ctrl+u", "pageup"), "page(-1)", "page up", "Cursor up by half a window.", "Cursor"),
    Command("open", ("enter",), "open", "open",
            "Open what is under the cursor: a head's pattern, an MLP's neurons, a neuron, a prompt of the file.",
            "Cursor"),
    Command("fit", ("z",), "fit", "fit", "Fit the whole matrix in the window by block extremes, or back to one cell "
            "a value.", "Look"),
    Command("mode", ("m",), "cycle_mode", "mode",
            "Pattern: pattern, scores, value-weighted, all heads, sources. QK: the token and position terms. Residual: "
            "norm or effect of the writes, norm of the states or their cosine with the final one, cosines between "
            "writes. Lens: probability of the top token or of the answer, its rank, entropy, KL to the final one. "
            "Heads: the score. Compose: query, key, value. Pairs, SVD: QK or OV.", "Look", footer="mode"),
    Command("normalize", ("n",), "cycle('normalize')", "normalise",
            "none, centered (row mean removed), zscore, softmax.", "Look", views=("qk", "ov")),
    Command("baseline", ("N",), "cycle('baseline')", "baseline",
            "What a row is normalised against: the shown tokens or the whole vocabulary.", "Look",
            views=("qk", "ov")),
    Command("form", ("f",), "cycle('form')", "form",
            "bilinear: W_QK alone, as in the paper. scaled: with biases, over the attention scale.", "Look",
            views=("qk",)),
    Command("basis", ("b",), "cycle('basis')", "basis",
            "What stands for a token: embed, normed, effective (after MLP 0), prompt (the stream at the head).", "Look",
            views=("qk", "ov")),
    Command("offset", ("o",), "edit_offset", "offset", "Rotary distance query − key at which QK is taken.", "Look",
            views=("qk",)),
    Command("unit", ("u",), "cycle_unit", "unit",
            "Parts of the stream by head or by layer component, in Attribution also by neuron. Lens: with or without "
            "the states between attention and MLP. Heads: what they are scored on. Compose: feeding it, or fed by it.",
            "Look", views=("residual", "lens", "attribution", "why", "heads", "compose")),
    Command("directions", ("v",), "directions", "as tokens",
            "The vector under the cursor read out over the vocabulary: tokens it promotes and suppresses.", "Look"),
    Command("weights", ("w",), "cycle('weights')", "weights",
            "processed: norms folded, writing weights centred. raw: as stored.", "Look"),
    Command("panel", ("p",), "cycle_panel", "side panel",
            "Next side panel, then none: what belongs to the view, such as next tokens, parts, outputs, ranked lists, "
            "curves. On a small screen it takes the picture's place; esc brings that back.", "Look",
            footer="panel"),
    Command("tree", ("H",), "toggle_tree", "tree", "Show or fold the tree of heads.", "Look"),
    Command("export", ("e",), "export", "export", "Write what is shown to a JSON file here and print its path.", "App",
            footer="export"),
    Command("models", ("M",), "choose_model", "model", "Open another model: demo, a hub name, or a folder.", "App"),
    Command("themes", ("T",), "choose_theme", "theme", "Choose a colour theme.", "App"),
    Command("quit", ("q",), "quit", "quit", "Leave.", "App", footer="quit"),
)  # fmt: skip


def by_id(command_id: str) -> Command:
    """The command of that id. Raises KeyError."""
    return _BY_ID[command_id]


_BY_ID = {command.id: command for command in COMMANDS}


def display(key: str) -> str:
    """A key as a person reads it: ``question_mark`` → ``?``."""
    return _DISPLAY.get(key, key)


def typed_keys(command: Command) -> tuple[str, ...]:
    """Its keys that are text in a text field: letters, digits, punctuation."""
    return tuple(key for key in command.keys if len(key) == 1 or key in _PUNCTUATION)


def other_keys(command: Command) -> tuple[str, ...]:
    """Its keys that are not: arrows, function keys, ctrl with a letter."""
    return tuple(key for key in command.keys if key not in typed_keys(command))


def key_table() -> str:
    """The README's table of keys, in Markdown."""
    lines = ["| keys | command | what it does |", "| --- | --- | --- |"]
    for command in COMMANDS:
        keys = " ".join(f"`{display(key)}`" for key in command.keys)
        lines.append(f"| {keys} | {command.label} | {command.help} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(key_table())
