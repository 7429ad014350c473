"""What the terminal can show, and the environment variables that tell Textual and the libraries so.

Textual, Rich and Hugging Face read their variables when they are imported, so all of this is decided before any of
them is, from plain strings: nothing here touches the process.

OpenSSH forwards TERM but not COLORTERM, and Rich decides from COLORTERM and the end of TERM alone: alacritty,
xterm-ghostty and plain xterm would fall to 16 colours. Hence the names below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, cast

Colors = Literal["truecolor", "256", "16", "none"]
"""How many colours are drawn. ``none``: magnitude by glyphs, sign by + and −."""

CANNOT_DRAW = frozenset({"", "dumb", "unknown"})
"""Values of TERM that promise no cursor movement."""

_TRUECOLOR = ("alacritty", "contour", "foot", "ghostty", "kitty", "rio", "wezterm", "xterm-ghostty", "xterm-kitty")
_TRUECOLOR_PROGRAMS = frozenset({"ghostty", "iTerm.app", "vscode", "WezTerm"})
_COLORS_256 = ("gnome", "konsole", "mintty", "putty", "rxvt", "screen", "st", "tmux", "vte", "xterm")
_MONOCHROME = ("vt100", "vt102", "vt220", "vt320", "xterm-mono")
_SYSTEMS: dict[Colors, str] = {"truecolor": "truecolor", "256": "256", "16": "standard"}

FRAMES_PER_SECOND, SSH_FRAMES_PER_SECOND = "120", "20"
"""A picture that is there waits half a frame to be drawn. Only what changed is sent, so more of them cost no bytes."""

LIBRARIES = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Keeps the libraries from writing to the terminal, and torch's threads from spinning while they wait for each other:
spinning they take the cores from the screen and from all else that runs. Beside four busy processes a product of 0.5 ms
then took 16 ms, with threads that sleep 1 ms; with nothing beside it both are as fast."""


class Wishes(Protocol):
    """The part of the options that is about the terminal."""

    @property
    def color(self) -> str: ...


def colors(wish: str, environ: Mapping[str, str]) -> Colors:
    """How many colours to draw: the wish (``--color``) if it is not ``auto``, else what the environment promises."""
    return decided(wish, environ)[0]


def decided(wish: str, environ: Mapping[str, str]) -> tuple[Colors, str]:
    """``colors``, and what says so: ``TERM=alacritty``."""
    if wish != "auto":
        return cast(Colors, wish), f"color is {wish}"
    term = environ.get("TERM", "").strip().lower()
    by_term = f"TERM={term}"
    if environ.get("NO_COLOR"):
        return "none", "NO_COLOR is set"
    if _is_one_of(term, _MONOCHROME):
        return "none", by_term
    if "STY" in environ and "TMUX" not in environ:
        return "256", "GNU screen"  # it garbles 24-bit sequences, whatever COLORTERM it inherited
    forced = environ.get("TEXTUAL_COLOR_SYSTEM", "")
    for name, system in _SYSTEMS.items():
        if forced == system:
            return name, f"TEXTUAL_COLOR_SYSTEM={forced}"
    colorterm = environ.get("COLORTERM", "").strip().lower()
    if colorterm in ("truecolor", "24bit"):
        return "truecolor", f"COLORTERM={colorterm}"
    if term.endswith(("-direct", "-truecolor")):
        return "truecolor", by_term
    if not term.startswith(("screen", "tmux")):
        if _is_one_of(term, _TRUECOLOR):
            return "truecolor", by_term
        if (program := environ.get("TERM_PROGRAM")) in _TRUECOLOR_PROGRAMS:
            return "truecolor", f"TERM_PROGRAM={program}"
        if "WT_SESSION" in environ:
            return "truecolor", "Windows Terminal"
    if term.endswith("-16color"):
        return "16", by_term
    if term.endswith("256color") or _is_one_of(term, _COLORS_256):
        return "256", by_term
    return ("256", f"COLORTERM={colorterm}") if colorterm else ("16", by_term)


def over_ssh(environ: Mapping[str, str]) -> bool:
    """Whether every byte crosses a network."""
    return bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))


def environment(options: Wishes, environ: Mapping[str, str]) -> dict[str, str | None]:
    """Variables to set (None: to remove) before Textual or a model library is imported.

    A variable that the user has set stays, but for what ``--color`` says in so many words.
    """
    drawn = colors(options.color, environ)
    out: dict[str, str | None] = {name: value for name, value in LIBRARIES.items() if name not in environ}
    # Textual takes the presence of NO_COLOR, even empty, for a wish.
    out["NO_COLOR"] = "1" if drawn == "none" else None
    out["TEXTUAL_COLOR_SYSTEM"] = _SYSTEMS.get(drawn, "standard")
    drawing = {"TEXTUAL_FPS": FRAMES_PER_SECOND}
    if over_ssh(environ):
        drawing = {
            "TEXTUAL_FPS": SSH_FRAMES_PER_SECOND,
            "TEXTUAL_ANIMATIONS": "none",
            "TEXTUAL_SMOOTH_SCROLL": "0",
        }
    return out | {name: value for name, value in drawing.items() if name not in environ}


def _is_one_of(term: str, names: tuple[str, ...]) -> bool:
    """Whether TERM is one of the names, or one of them with a suffix (``foot-extra``, ``screen.xterm``)."""
    return any(term == name or term.startswith((f"{name}-", f"{name}.")) for name in names)
