"""A list of options, as dialogs have them."""

from __future__ import annotations

from textual.widgets import OptionList


class Options(OptionList):
    """Where there is no room for a line of it, a page is nothing to move by: Textual would look for lines that were
    never laid out."""

    def action_page_down(self) -> None:
        if self.scrollable_content_region:
            super().action_page_down()  # type: ignore[no-untyped-call]

    def action_page_up(self) -> None:
        if self.scrollable_content_region:
            super().action_page_up()  # type: ignore[no-untyped-call]
