"""The prompt's line with the answer, and the prompt's tokens coloured by a neuron."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult

from tests.views.apps import Frugal, count_bytes, quiet
from tests.views.grids import HEADER
from tui.results import Table, Tokens
from tui.text import visible
from tui.views import prompt as prompt_module
from tui.views.colours import Mode, contrast, luminance, palette
from tui.views.prompt import PromptLine, TokenStrip
from tui.views.surface import scheme_of

TEXTS = ("<|bos|>", " The", " capital", " of", " France", " is")
TOKENS = Tokens(tuple(range(6)), TEXTS, (True, *[False] * 5), True)


class Top(Frugal):
    def compose(self) -> ComposeResult:
        yield PromptLine("The capital of France is")
        yield TokenStrip()

    @property
    def strip(self) -> TokenStrip:
        return self.query_one(TokenStrip)

    def line(self, y: int) -> list[Segment]:
        return list(self.screen._compositor.render_strips()[y])


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    in_mode(monkeypatch, "truecolor")


def in_mode(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    monkeypatch.setattr(prompt_module, "scheme_of", lambda widget: scheme_of(widget, mode))


def styles(app: Top) -> dict[str, Style]:
    """Each token's style."""
    out = {}
    for text, style, _ in app.line(1):
        for name in text.replace("│", " ").split():
            assert style is not None
            out[name] = style
    return out


async def test_the_answer_stands_at_the_right_and_leaves_the_field_its_room() -> None:
    app = Top()
    async with app.run_test(size=(80, 5)) as pilot:
        line = app.query_one(PromptLine)
        assert line.input.size.width == 70
        line.answer = "answer ·Paris − ·London"
        await pilot.pause()
        text = "".join(segment.text for segment in app.line(0))
        assert text.rstrip().endswith("answer ·Paris − ·London")
        assert cell_len(text) == 80
        assert line.input.size.width == 70 - len("answer ·Paris − ·London") - 2
        line.answer = ""
        await pilot.pause()
        assert line.input.size.width == 70
        assert "answer" not in "".join(segment.text for segment in app.line(0))


@pytest.mark.parametrize("width", [20, 30, 50, 80, 120])
async def test_a_long_answer_takes_two_fifths_at_most_and_is_safe(width: int) -> None:
    app = Top()
    async with app.run_test(size=(width, 5)) as pilot:
        line = app.query_one(PromptLine)
        line.answer = "answer \x1b[31m [bold]日本語" + " ·London" * 20
        await pilot.pause()
        text = "".join(segment.text for segment in app.line(0))
        assert cell_len(text) == width
        assert "\x1b" not in text
        assert "…" in text
        assert line.query_one("#prompt-answer").outer_size.width <= 0.4 * width
        assert line.query_one("#prompt-answer").size.height == 1


async def test_tokens_take_the_colours_of_their_values() -> None:
    app = Top()
    async with app.run_test(size=(80, 5)) as pilot:
        app.strip.tokens = TOKENS
        app.strip.row = app.strip.col = 5
        app.strip.shade = (0.0, -1.0, 1.0, 0.5, float("nan"), -0.5)
        await pilot.pause()
        swatches = palette(scheme_of(app.strip, "truecolor"), True).swatches
        found = styles(app)
        for name, at in (("⟨bos⟩", 20), ("·The", 0), ("·capital", 40), ("·of", 28)):
            background, ink = found[name].bgcolor, found[name].color
            assert background is not None
            assert ink is not None
            assert tuple(background.get_truecolor()) == swatches[at].background, name
            assert tuple(ink.get_truecolor()) == contrast(swatches[at].background)
        assert found["·France"].bgcolor == app.line(1)[-1].style.bgcolor, "none: as without colours"  # type: ignore[union-attr]
        assert found["·is"].reverse


async def test_the_row_is_told_on_every_colour() -> None:
    app = Top()
    async with app.run_test(size=(80, 5)) as pilot:
        app.strip.tokens = TOKENS
        for at in range(6):
            app.strip.row, app.strip.col = at, (at + 1) % 6
            app.strip.shade = (0.0, -1.0, 1.0, 0.5, 0.2, -0.5)
            await pilot.pause()
            found = styles(app)
            names = [visible(text, at == 0) for at, text in enumerate(TEXTS)]
            assert [name for name in names if found[name].reverse] == [names[at]]
            assert [name for name in names if found[name].underline] == [names[(at + 1) % 6]]


async def test_without_values_nothing_is_different() -> None:
    app = Top()
    async with app.run_test(size=(80, 5)) as pilot:
        app.strip.tokens = TOKENS
        app.strip.row, app.strip.col = 4, 1
        await pilot.pause()
        before = app.line(1)
        app.strip.shade = (0.5,) * 6
        await pilot.pause()
        assert app.line(1) != before
        app.strip.shade = None
        await pilot.pause()
        assert app.line(1) == before


async def test_values_of_another_prompt_do_no_harm() -> None:
    app = Top()
    async with app.run_test(size=(80, 5)) as pilot:
        app.strip.tokens = TOKENS
        for shade in ((1.0,), (), (0.5,) * 99, (5.0, -5.0, 0.0)):
            app.strip.shade = shade
            await pilot.pause()
            assert "·France" in "".join(segment.text for segment in app.line(1))


async def test_small_activations_are_one_run() -> None:
    app = Top()
    async with app.run_test(size=(120, 5)) as pilot:
        many = Tokens(tuple(range(20)), tuple(f" t{i}" for i in range(20)), (False,) * 20, False)
        app.strip.tokens = many
        app.strip.shade = tuple(0.09 * (-1) ** i for i in range(20))
        await pilot.pause()
        assert len(app.line(1)) <= 5
        app.strip.shade = tuple(1.0 if i == 10 else 0.05 for i in range(20))
        await pilot.pause()
        assert len(app.line(1)) <= 7


@pytest.mark.parametrize("mode", ["truecolor", "256", "16", "none"])
async def test_shaded_tokens_are_read(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    in_mode(monkeypatch, mode)
    app = Top()
    for theme in ("textual-dark", "textual-light"):
        async with app.run_test(size=(80, 5)) as pilot:
            app.theme = theme
            app.strip.tokens = TOKENS
            app.strip.row = app.strip.col = 0
            app.strip.shade = (0.0, -1.0, 1.0, 0.4, -0.4, 0.1)
            await pilot.pause()
            for name, style in styles(app).items():
                assert style.color is not None
                assert style.bgcolor is not None
                pair = sorted(luminance(tuple(c.get_truecolor())) for c in (style.color, style.bgcolor))  # type: ignore[arg-type]
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3.0, (name, style)
        app = Top()


@pytest.mark.parametrize("size", [(80, 5), (120, 5)], ids=str)
async def test_another_cell_costs_its_two_tokens(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    app, sent = Top(), count_bytes(monkeypatch)
    async with app.run_test(size=size) as pilot:
        app.strip.tokens = TOKENS
        app.strip.predictions = likely("Paris", "London")
        app.strip.row, app.strip.col = 5, 5
        await quiet(pilot, sent)
        app.strip.col = 2
        assert 0 < await quiet(pilot, sent) <= 150, "two tokens"
        app.strip.row = 4
        assert 0 < await quiet(pilot, sent) <= 150
        app.strip.predictions = likely("Paris", "Oslo")
        assert 0 < await quiet(pilot, sent) <= 100, "one word"
        app.strip.row, app.strip.predictions = 4, likely("Paris", "Oslo")
        assert await quiet(pilot, sent) == 0, "the same again"


def likely(*names: str) -> Table:
    return Table(HEADER, ("rank", "token", "probability"), tuple((i, f" {name}", 0.5) for i, name in enumerate(names)))
