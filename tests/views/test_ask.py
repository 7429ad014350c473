"""A question with options to pick from, by keys."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Input, OptionList, Static

from tui.views.ask import Ask

OPTIONS = [("·Zanz ibar", "one"), ("Zanz [bold]ibar[/]", "two"), ("long " * 40, "three")]


class Asking(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str, str]] = []

    def compose(self) -> ComposeResult:
        yield Static("below")

    def on_mount(self) -> None:
        self.push_screen(Ask("answer", "Answer", "Zanzibar", "one token"))

    def on_ask_answered(self, message: Ask.Answered) -> None:
        self.said.append(("answered", message.question, message.text))

    def on_ask_picked(self, message: Ask.Picked) -> None:
        self.said.append(("picked", message.question, message.value))

    @property
    def ask(self) -> Ask:
        assert isinstance(self.screen, Ask)
        return self.screen

    @property
    def listing(self) -> OptionList:
        return self.ask.query_one(OptionList)

    def burst(self, keys: Sequence[str]) -> None:
        """Keys as a slow link delivers them: several before the first has been looked at."""
        for key in keys:
            self.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_arrows_choose_and_enter_picks() -> None:
    app = Asking()
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("enter")
        assert app.said == [("answered", "answer", "Zanzibar")]
        app.ask.choose("“Zanzibar” is two tokens: which one?", OPTIONS)
        await pilot.pause()
        assert app.listing.display
        assert app.listing.highlighted == 0
        text = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        for words in ("which one?", "·Zanz ibar", "Zanz [bold]ibar[/]", "Zanzibar", "long long"):
            assert words in text
        assert app.ask.query_one(Input).has_focus
        await pilot.press("down", "enter")
        assert app.said[-1] == ("picked", "answer", "two")
        await pilot.press("up", "up", "enter")
        assert app.said[-1] == ("picked", "answer", "three"), "around the end"
        assert isinstance(app.screen, Ask), "the asker closes it"


async def test_keys_that_arrive_together_are_taken_in_their_order() -> None:
    for keys, said in (
        (["down", "enter"], ("picked", "answer", "two")),
        (["down", "down", "up", "enter"], ("picked", "answer", "two")),
        (["enter"], ("picked", "answer", "one")),
        (["x", "enter"], ("answered", "answer", "x")),
        (["down", "x", "enter"], ("answered", "answer", "x")),
    ):
        for focused in (True, False):
            app = Asking()
            async with app.run_test(size=(60, 20)) as pilot:
                app.ask.choose("which one?", OPTIONS)
                await pilot.pause()
                if not focused:
                    app.ask.set_focus(None)
                app.burst(keys)
                await pilot.pause(0.1)
                assert app.said == [said], keys


async def test_typing_again_takes_the_options_away() -> None:
    app = Asking()
    async with app.run_test(size=(60, 20)) as pilot:
        app.ask.choose("which one?", OPTIONS)
        await pilot.pause()
        await pilot.press("end", "s")
        assert not app.listing.display
        assert "one token" in str(app.ask.query_one("#ask-hint", Static).render())
        await pilot.press("enter")
        assert app.said == [("answered", "answer", "Zanzibars")]
        await pilot.press("down", "up", "enter")
        assert app.said[-1] == ("answered", "answer", "Zanzibars")


async def test_a_problem_takes_the_place_of_the_options_and_they_of_it() -> None:
    app = Asking()
    async with app.run_test(size=(60, 20)) as pilot:
        app.ask.problem("no such token")
        app.ask.choose("which one?", OPTIONS)
        await pilot.pause()
        assert not app.ask.query_one("#ask-problem").display
        app.ask.problem("no model is there yet")
        await pilot.pause()
        assert not app.listing.display
        await pilot.press("enter")
        assert app.said == [("answered", "answer", "Zanzibar")]


async def test_many_options_scroll_in_eight_lines() -> None:
    app = Asking()
    async with app.run_test(size=(60, 20)) as pilot:
        app.ask.choose("which one?", [(f"option {i}", str(i)) for i in range(30)])
        await pilot.pause()
        assert app.listing.size.height == 8
        await pilot.press(*["down"] * 20)
        await pilot.pause()
        assert "option 20" in "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        await pilot.press("enter")
        assert app.said == [("picked", "answer", "20")]


async def test_a_click_picks_and_escape_leaves() -> None:
    app = Asking()
    async with app.run_test(size=(60, 20)) as pilot:
        app.ask.choose("which one?", OPTIONS)
        await pilot.pause()
        assert app.listing.size.height == 3, "a long option is one line"
        await pilot.click(OptionList, offset=(4, 1))
        await pilot.pause()
        assert app.said == [("picked", "answer", "two")]
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, Ask)
