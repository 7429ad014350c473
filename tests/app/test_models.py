"""The Models screen, by keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from tests.app.driving import driven, notice, settled, until
from tests.app.recorded import KEY, RecordedBench, info
from tests.views.apps import burst
from tui import browsing, shelf
from tui.explorer import Explorer
from tui.label import Label
from tui.results import Capabilities
from tui.selection import Selection
from tui.views.models import Models

NO_QK = "Queries and keys are normalised over all heads at once."


def one(name: str, group: str = shelf.RECENT, **facts: Any) -> Label:
    values: dict[str, Any] = {
        "architecture": "LlamaForCausalLM", "layers": 12, "heads": 12, "d_model": 768, "d_head": 64, "vocabulary": 5000,
        "context": 1024, "parameters": 124_000_000, "file_bytes": 248_000_000, "stored": "bfloat16",
        "tokenizer": "tokenizer.json", "conventions": ("rotary positions", "RMSNorm"),
    }  # fmt: skip
    return Label(f"/models/{name}", name, group, f"/models/{name}", **{**values, **facts})


FOUND = (
    Label("demo", "demo", shelf.SHIPPED, KEY.folder, layers=4, heads=4, parameters=710_000),
    one("tiny-llama"), one("big-llama", parameters=70_000_000_000),
    *(one(f"checkpoint-{step}", "checkpoints of run") for step in (500, 1000)),
    one("broken", shelf.HUB, trouble="model.safetensors is a Git LFS pointer: run git lfs pull in /models/broken."),
)  # fmt: skip


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same models on every machine."""
    monkeypatch.setattr("tui.shelf.look", lambda here, opened: iter(FOUND))
    monkeypatch.setattr("tui.label.free_memory", lambda device: 8_000_000_000)


async def opened(explorer: Explorer, pilot: Pilot[None], *keys: str) -> Models:
    await pilot.press("M")
    models = explorer.app.screen
    assert isinstance(models, Models)
    await until(pilot, lambda: "found" in str(models.query_one("#models-keys", Static).content))
    await pilot.press(*keys)
    await pilot.pause()
    return models


def card(models: Models) -> str:
    """What is said, whatever the width."""
    return " ".join(str(models.query_one("#models-card", Static).content).split())


def listed(models: Models) -> list[str]:
    options = models.query_one(OptionList).options
    return [str(option.prompt).strip() for option in options if not option.disabled]


async def test_every_model_is_listed_with_its_card() -> None:
    async with driven() as (explorer, pilot):
        models = await opened(explorer, pilot, "down")
        assert listed(models) == ["● demo  710 k", "tiny-llama  124 M", "big-llama  70 B", "checkpoint-500  124 M",
                                  "checkpoint-1000  124 M", "✗ broken  124 M"]  # fmt: skip
        assert "LlamaForCausalLM" in card(models)
        assert "12 layers × 12 heads · d_model 768 · d_head 64" in card(models)
        assert "0.496 GB" not in card(models)
        assert "496 MB in float32 on cpu · 8 GB free" in card(models)
        await pilot.press("down")
        assert "280 GB in float32 on cpu · 8 GB free: it does not fit" in card(models)


async def test_a_page_of_a_card_that_is_all_there_is_nothing() -> None:
    async with driven() as (explorer, pilot):
        models = await opened(explorer, pilot, "down")
        before = card(models)
        await pilot.press("pagedown", "pageup", "pagedown")
        assert (explorer.app.screen, card(models)) == (models, before)


async def test_enter_opens_the_model_under_the_cursor_and_keeps_prompt_page_and_head() -> None:
    async with driven(prompt="The king of Rome") as (explorer, pilot):
        await pilot.press("2", "right_curly_bracket")
        await settled(explorer, pilot)
        await opened(explorer, pilot, *"checkpoint-5", "enter")
        await until(pilot, lambda: explorer.selection.opened == explorer.selection.open)
        await settled(explorer, pilot)
        s = explorer.selection
        assert (s.open.source, s.text, s.page, s.name) == ("/models/checkpoint-500", "The king of Rome", "qk", "L0H1")


async def test_a_name_that_is_not_listed_opens_too() -> None:
    for typed in ("gpt9", "/models/tiny", "llama/other"):
        async with driven() as (explorer, pilot):
            await opened(explorer, pilot, *typed, "enter")
            assert explorer.selection.open.source == typed


async def test_what_matches_goes_before_what_is_typed_and_up_leads_there() -> None:
    async with driven() as (explorer, pilot):
        await opened(explorer, pilot, *"tiny", "enter")
        assert explorer.selection.open.source == "/models/tiny-llama"
        await opened(explorer, pilot, *"big", "up", "enter")
        assert explorer.selection.open.source == "big"


async def test_the_palette_takes_a_name() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("colon", *"model other", "enter")
        await until(pilot, lambda: explorer.selection.open.source == "other")


async def test_escape_closes_and_nothing_has_changed() -> None:
    async with driven() as (explorer, pilot):
        before = explorer.selection
        await opened(explorer, pilot, "down", "x", "escape")
        assert explorer.app.screen is explorer
        assert explorer.selection == before


@pytest.mark.parametrize("keys", [
    ["enter", "enter"], ["escape", "escape"], ["down", "enter", "enter", "escape"], ["enter", "escape", "escape"],
    ["t", "i", "n", "y", "enter", "enter"],
])  # fmt: skip
async def test_keys_of_one_packet_close_it_once(keys: Sequence[str]) -> None:
    async with driven() as (explorer, pilot):
        await opened(explorer, pilot)
        burst(explorer.app, keys)
        await until(pilot, lambda: explorer.app.screen is explorer)
        await settled(explorer, pilot)
        assert explorer.app.screen is explorer


async def test_what_is_typed_at_once_is_taken() -> None:
    """M, the name and enter in one packet, before anything was found."""
    async with driven() as (explorer, pilot):
        burst(explorer.app, ["M", *"gpt9", "enter"])
        await until(pilot, lambda: explorer.selection.open.source == "gpt9")


async def test_the_card_of_the_open_model_says_what_is_off_and_why() -> None:
    bench = RecordedBench(info(capabilities=Capabilities(qk=NO_QK, position_terms=NO_QK)))
    async with driven(bench=bench) as (explorer, pilot):
        models = await opened(explorer, pilot)
        assert f"qk, position terms: {NO_QK}" in card(models)
        assert "float32 on cpu · learned positions · LayerNorm · BOS by default" in card(models)
        await pilot.press(*"broken")
        assert "git lfs pull" in card(models)
        assert NO_QK not in card(models)


async def test_the_open_model_is_not_opened_again() -> None:
    async with driven() as (explorer, pilot):
        await opened(explorer, pilot, "enter")
        assert "demo is open already" in notice(explorer)


async def test_a_model_that_failed_can_be_tried_again() -> None:
    async with driven(model="nowhere") as (explorer, pilot):
        await until(pilot, lambda: "press M" in explorer.main.heatmap.message)
        explorer.scene.wishes.activity = ""
        await opened(explorer, pilot, *"nowhere", "enter")
        await until(pilot, lambda: explorer.scene.wishes.activity == "failed")


async def test_the_list_fills_while_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk: keys are taken all the time, and the cursor stays on what it was moved to."""
    gate = threading.Event()

    def slow(here: Path, opened: str) -> Iterator[Label]:
        yield from FOUND[:2]
        gate.wait(10)
        yield from FOUND[2:]

    monkeypatch.setattr(shelf, "look", slow)
    monkeypatch.setattr(browsing, "PAUSE", 0.0)
    async with driven() as (explorer, pilot):
        await pilot.press("M")
        models = explorer.app.screen
        assert isinstance(models, Models)
        await until(pilot, lambda: len(listed(models)) == 2)
        await pilot.press("down")
        gate.set()
        await until(pilot, lambda: len(listed(models)) == len(FOUND))
        assert models.chosen == FOUND[1]
        await pilot.press("x")
        assert listed(models) == ["open “x”"]
        await pilot.press("backspace")
        assert models.query_one(Input).value == ""
        assert len(listed(models)) == len(FOUND)


async def test_a_search_that_fails_lists_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(here: Path, opened: str) -> Iterator[Label]:
        yield FOUND[1]
        raise RuntimeError("the cache has changed")

    monkeypatch.setattr(shelf, "look", broken)
    async with driven() as (explorer, pilot):
        assert listed(await opened(explorer, pilot)) == ["tiny-llama  124 M"]


async def test_a_model_that_was_opened_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[str, ...]] = []
    monkeypatch.setattr(shelf, "remember", lambda *what: kept.append(what))
    async with driven() as (explorer, pilot):
        await opened(explorer, pilot, *"tests", "up", "enter")
        await until(pilot, lambda: explorer.selection.opened == explorer.selection.open)
        assert kept == [("demo", "demo", KEY.folder), (KEY.folder, "demo", KEY.folder)], "tests is a folder of here"


def test_a_model_that_is_not_here_has_a_card_too() -> None:
    lines = list(browsing.card(Label("gpt9", "gpt9", "", ""), Selection(), None, None))
    assert [what for what, _, _ in lines] == ["not here"]


@pytest.mark.parametrize("key", ["M", "J"])
async def test_a_size_that_comes_while_the_list_is_closed_is_nobody_s(key: str) -> None:
    async with driven() as (explorer, pilot):
        await pilot.press(key)
        await pilot.pause()
        dialog = explorer.app.screen
        dialog.on_resize(events.Resize(explorer.app.size, explorer.app.size))  # type: ignore[attr-defined]
        dialog.dismiss()
        await dialog.remove_children()
        await pilot.pause(0.1)
        assert explorer.app.screen is explorer
