"""``:chat``: the prompt as a user's message in the model's chat template, by keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from textual import constants

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.recorded import RecordedBench, info
from tests.app.selected import loaded
from tests.app.test_snapshots import press, recorded_app
from tui import moves, needs
from tui.declared import Say
from tui.engine.jobs import NextTokens, Open, Pattern, PreparePrompts, Tokenize
from tui.results import Capabilities
from tui.selection import Pair, with_model
from tui.views.prompt import TokenStrip
from tui.views.status import Status

NO_TEMPLATE = "This model's tokenizer has no chat template."
CHAT = ("colon", *"chat", "enter")


async def test_chat_on_and_off() -> None:
    async with driven((160, 40)) as (explorer, pilot):
        before = explorer.selection.tokens
        assert before is not None
        assert not before.chat
        await pilot.press(*CHAT)
        await until(pilot, lambda: explorer.selection.tokens is not before)
        await settled(explorer, pilot)
        tokens = explorer.selection.tokens
        assert tokens is not None
        assert tokens.texts == ("<|bos|>", " king", " The", " capital", " of", " France", " is", " in")
        assert tokens.template == (True, True, False, False, False, False, False, True)
        assert "chat · BOS of the template, none added" in explorer.query_one(Status).conventions
        assert notice(explorer) == "the prompt is a user's message in the chat template"
        shown = needs.shown(explorer.selection)
        assert isinstance(shown, Pattern)
        assert shown.run.ids == tokens.ids, "every view is of these tokens"
        await pressed(explorer, pilot, "B")
        assert "says whether there is a BOS" in notice(explorer)
        await pressed(explorer, pilot, "ctrl+n")
        assert "user's message of a chat" in notice(explorer)
        assert explorer.selection.text == "The capital of France is", "nothing was appended"
        await pilot.press(*CHAT)
        await until(pilot, lambda: not explorer.selection.chat)
        await settled(explorer, pilot)
        assert explorer.selection.tokens == before
        assert "chat ·" not in explorer.query_one(Status).conventions


async def test_the_templates_tokens_are_dim() -> None:
    async with driven((160, 40), chat=True) as (explorer, _pilot):
        strip = explorer.query_one(TokenStrip)
        content = strip.render()
        tokens = explorer.selection.tokens
        assert tokens is not None
        dim = [content.plain[span.start : span.end] for span in content.spans if "dim" in str(span.style)]
        assert "⟨bos⟩" in " ".join(dim)
        assert "·king" in " ".join(dim)
        assert "·capital" not in " ".join(dim)


async def test_a_model_without_a_template() -> None:
    bench = RecordedBench(info(no_chat=NO_TEMPLATE))
    async with driven((160, 40), bench=bench) as (explorer, pilot):
        await pilot.press(*CHAT)
        await settled(explorer, pilot)
        assert notice(explorer) == NO_TEMPLATE
        assert not explorer.selection.chat
    async with driven((160, 40), bench=RecordedBench(info(no_chat=NO_TEMPLATE)), chat=True) as (explorer, pilot):
        await settled(explorer, pilot)
        assert notice(explorer) == NO_TEMPLATE, "asked for on the command line"
        assert explorer.selection.tokens is not None
        assert not explorer.selection.tokens.chat
        assert "Prompt" in text_of(explorer, "#prompt-mark")


def test_everything_typed_is_in_the_chat() -> None:
    s = replace(loaded(), chat=True, pair=Pair("another"))
    assert needs.tokenizing(s) == Tokenize(s.model.key, s.text, s.with_bos, True)  # type: ignore[union-attr]
    assert needs.pairing(s) == Tokenize(s.model.key, "another", s.with_bos, True)  # type: ignore[union-attr]
    there = moves.to_prompts(loaded(), "capital")
    assert not isinstance(there, Say)
    job = needs.preparing(replace(there, chat=True))
    assert isinstance(job, PreparePrompts)
    assert job.chat


def test_another_model() -> None:
    s = replace(loaded(), chat=True)
    assert with_model(s, Open("other"), info()).chat
    assert not with_model(s, Open("other"), info(no_chat=NO_TEMPLATE)).chat


def test_a_model_without_outputs_is_not_asked_for_predictions() -> None:
    s = loaded()
    assert isinstance(needs.next_tokens(s), NextTokens)
    headless = replace(s, model=info(capabilities=Capabilities(outputs="no head")))
    assert needs.next_tokens(headless) is None
    assert needs.likeliest(headless) is None


async def test_what_waits_for_an_answer_says_that_there_is_none() -> None:
    why = "This is a LlamaModel: it was saved without its head, so it has no outputs."
    bench = RecordedBench(info(capabilities=Capabilities(outputs=why)))
    async with driven((160, 40), bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "6")
        assert explorer.main.heatmap.message == why
        assert explorer.query_one(TokenStrip).predictions is None


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_screen(snap_compare: Callable[..., bool], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    app = recorded_app()
    assert snap_compare(app, run_before=press(app, CHAT), terminal_size=size)
