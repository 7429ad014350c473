"""Redraws the README's pictures: the app itself, on the embedded model, driven by keys. ``make screens``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

os.environ |= {"TEXTUAL_COLOR_SYSTEM": "truecolor", "TEXTUAL_ANIMATIONS": "none", "HF_HUB_OFFLINE": "1"}
os.environ.pop("NO_COLOR", None)

from textual.pilot import Pilot

from tui import needs
from tui.app import CircuitApp
from tui.config import Options
from tui.engine.jobs import Job

HERE = Path(__file__).parent
SIZE = (120, 40)
PROMPT = "The capital of France is"

SCREENS: dict[str, tuple[str, ...]] = {
    "pattern": (":", "{fact}", "1"),
    "heads": (":", "{fact}", "1", "m", "m", "m"),
    "qk": (":", "{partner}", "2", "t", "France, Paris, Spain, Madrid, king, queen, man, woman", "n"),
    "ov": (":", "{fact}", "3", "t", "France, Paris, Spain, Madrid, king, queen, hot, cold", "l"),
    "residual": ("4", "m"),
    "lens": ("5", "u"),
    "attribution": ("6", "l", "l"),
    "sources": (":", "{fact}", "S", "h"),
    "why": (":", "{induction}", "W"),
    "neurons": ("U",),
    "scores": ("7", "j", "j", "l", "l"),
    "compose": (":", "{induction}", "8", "l", "l"),
    "knockout": ("K",),
    "patching": ("P", "induction"),
    "difference": ("P", "induction", ":", "{fact}", "1", "a", "5", "d", "d"),
}
"""Picture → what is pressed; ``:`` takes the next entry as a jump, ``t`` as a token list, ``P`` as the other prompt."""


async def take(name: str, presses: tuple[str, ...], heads: dict[str, str]) -> None:
    """Start the app, press the keys, wait for every result, write the screen."""
    app = CircuitApp(Options(color="truecolor", prompt=PROMPT, fresh=True))
    async with app.run_test(size=SIZE) as pilot:
        await computed(app, pilot)
        keys = iter(presses)
        for key in keys:
            if key == ":":
                ((_, _, go),) = app.explorer.directory.places(heads[next(keys).strip("{}")])
                go()
            elif key in ("t", "P"):
                await pilot.press(key, "ctrl+u", *next(keys), "enter")
                await pilot.pause(0.5)
            else:
                await pilot.press(key)
            await computed(app, pilot)
        app.explorer.scene.wishes.activity = ""  # milliseconds differ from run to run, pictures should not
        app.explorer.draw()
        await pilot.pause()
        svg = re.sub(r"@font-face \{.*?\}\s*", "", app.export_screenshot(title="circuit-tui"), flags=re.DOTALL)
        (HERE / f"{name}.svg").write_text(svg, "utf-8")


async def computed(app: CircuitApp, pilot: Pilot[None]) -> None:
    """Wait until everything that the screen needs is there and drawn."""
    explorer = app.explorer

    def wanted() -> list[Job]:
        return needs.needs(explorer.selection, explorer.scene.wishes.cached, explorer.panel_open)

    while explorer.selection.tokens is None or not all(app.engine.cached(job) is not None for job in wanted()):
        await pilot.pause(0.05)
    await pilot.pause(0.5)


def best_heads() -> dict[str, str]:
    """The heads that the model's own evaluation names."""
    figures = json.loads((HERE.parent / "demo" / "evaluation.json").read_text("utf-8"))

    def of(word: str) -> str:
        return next(str(figure["head"]) for name, figure in figures.items() if word in name and figure["head"])

    return {"fact": of("country → capital, top 1"), "partner": of("partner"), "induction": of("induction")}


def main() -> None:
    wanted = sys.argv[1:] or list(SCREENS)
    for name in wanted:
        asyncio.run(take(name, SCREENS[name], best_heads()))
        print(HERE / f"{name}.svg", flush=True)
    os._exit(0)  # the libraries' own teardown takes seconds and prints complaints


if __name__ == "__main__":
    main()
