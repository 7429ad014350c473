"""The status line keeps what the numbers come from, however long the model's name is."""

from __future__ import annotations

from textual.app import App, ComposeResult

from tui.views.status import Status

BEHIND = " · step 2 of 3 · cpu · float32 · processed weights · BOS · from files"


class Alone(App[None]):
    """Nothing but the line."""

    def compose(self) -> ComposeResult:
        yield Status()


async def shown(conventions: str, width: int) -> str:
    app = Alone()
    async with app.run_test(size=(width, 4)) as pilot:
        line = app.query_one(Status)
        line.conventions, line.activity = conventions, "ready"
        await pilot.pause()
        return "".join(strip.text for strip in line.render_lines(line.region.reset_offset))


async def test_a_long_name_loses_its_beginning() -> None:
    wide = await shown("run/checkpoint-10" + BEHIND, 120)
    assert wide.startswith(" circuit-tui  run/checkpoint-10 · step 2 of 3")
    assert wide.rstrip().endswith("ready")
    narrow = await shown("run/checkpoint-10" + BEHIND, 80)
    assert narrow.startswith(" …")
    assert narrow.split(" · ")[0].endswith("point-10")
    assert BEHIND in narrow
    changed = await shown("1 change off · run/checkpoint-10" + BEHIND, 96)
    assert changed.startswith(" 1 change off · …")
    assert "point-10" + BEHIND in changed


async def test_what_fits_is_whole() -> None:
    line = await shown("demo · cpu · float32", 40)
    assert line.startswith(" circuit-tui  demo · cpu · float32 ")
    assert line.rstrip().endswith(" ready")
