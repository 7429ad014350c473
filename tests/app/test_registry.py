"""The registry of pages: complete declarations, and nothing that two of them claim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, get_type_hints

import pytest

from tests.app.selected import loaded
from tui import commands, export, flags, pages, tree
from tui.declared import Command, Export
from tui.engine.jobs import Job
from tui.page import Page
from tui.pages import chosen, continuing, panels
from tui.questions import PROMPTS
from tui.selection import Look, Selection

EVERY = {page.name: page for page in pages.every()}


def no_job(ask: object) -> Job:
    raise NotImplementedError


class Made(Page):
    """A page that claims nothing that is another's."""

    name, title, key, help, says = "made", "Made", "J", "A page.", ("cell", "nothing")
    exports: ClassVar = (Export("made", no_job),)


@pytest.fixture(autouse=True)
def _others_stay() -> Iterator[None]:
    yield
    assert pages.every() == tuple(EVERY.values()), "a refused page is not offered, and a withdrawn one is gone"


def test_a_page_is_offered_until_it_is_withdrawn() -> None:
    page = Made()
    pages.register(page)
    try:
        assert pages.every()[-1] is page
        assert pages.named("made") is pages.of(Selection(page="made")) is page
        assert "made" in pages.exports()
    finally:
        pages.withdraw(page)
    assert "made" not in pages.exports()


CLAIMS = [
    {"name": "lens"},
    {"key": "5"},
    {"key": "n"},  # QK's, for its normalisation
    {"commands": (Command("again", ("U",), "open", "again", "Again.", "Go"),)},  # the key of Neurons
    {"commands": (Command("basis", ("J",), "open", "basis", "Again.", "Go"),)},
    {"moves": {"direct": lambda s: s}},
    {"exports": (Export("scores", no_job),)},
    {"exports": (Export("nearest", no_job),)},  # of a side panel
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: next(iter(claim)))
def test_what_is_anothers_cannot_be_claimed(claim: dict[str, object]) -> None:
    claimant = type("Claimant", (Made,), claim)()
    with pytest.raises(ValueError, match="claims what is another's") as caught:
        pages.register(claimant)
    assert claimant.name in str(caught.value)


def test_a_page_is_registered_once() -> None:
    with pytest.raises(ValueError, match="name lens"):
        pages.register(EVERY["lens"])


@pytest.mark.parametrize("page", EVERY.values(), ids=EVERY)
def test_every_page_declares_all_there_is(page: Page) -> None:
    for attribute in get_type_hints(Page):
        assert hasattr(page, attribute), attribute
    assert page.name.isidentifier()
    assert page.title[:1].isupper()
    assert page.help.endswith(".")
    assert page.group in commands.GROUPS
    assert all(page.says)
    assert page.panels, "a page without a side panel leaves a third of the screen empty"
    assert not page.back_to or page.back_to in EVERY
    for method in ("job", "words", "line"):
        assert getattr(type(page), method) is not getattr(Page, method), method


@pytest.mark.parametrize("page", EVERY.values(), ids=EVERY)
def test_every_option_is_a_choice_of_a_look_that_a_command_cycles(page: Page) -> None:
    ids = {command.id: command for command in commands.every()}
    for option in page.options:
        assert ids[option.key].action == f"cycle('{option.key}')"
        assert issubclass(option.look, Look)
        assert getattr(option.look(), option.name) in option.choices(loaded()), "the default is one of the values"
    keys = [option.key for option in page.options]
    assert len(keys) == len(set(keys))
    assert not page.refuses.keys() & set(keys) or any(page.option(key, loaded()) is None for key in page.refuses)
    assert page.refuses.keys() <= ids.keys()


@pytest.mark.parametrize("page", EVERY.values(), ids=EVERY)
def test_side_panels_and_questions_have_names_of_their_own(page: Page) -> None:
    for named in ([panel.name for panel in page.panels], [question.id for question in page.questions]):
        assert len(named) == len(set(named))
    asked = [command.action for command in commands.every()]
    for question in page.questions:
        assert f"ask('{question.id}')" in asked, "some key asks it"


def test_questions_with_one_id_are_one_but_for_the_filter() -> None:
    questions = {*pages.questions(), tree.TREE, PROMPTS}
    ids = [question.id for question in questions if question.id != "filter"]
    assert len(ids) == len(set(ids))


def test_keys_and_ids_are_claimed_once_over_pages_and_all() -> None:
    keys = [key for command in commands.every() for key in command.keys]
    assert len(keys) == len(set(keys))
    moves = [name for page in EVERY.values() for name in page.moves]
    assert len(moves) == len(set(moves))


def test_exports_are_named_once_and_take_options_that_exist() -> None:
    beside = (*panels.EXPORTS, continuing.EXPORT, chosen.EXPORT)
    listed = [e.name for page in EVERY.values() for e in page.exports] + [e.name for e in beside]
    assert len(listed) == len(set(listed)) == len(pages.exports())
    assert not export.OTHERS.keys() & pages.exports().keys()
    common = {"prompts", "bos"}
    for form in pages.exports().values():
        assert set(form.takes) <= flags.FLAGS.keys() | common, form.name
        assert form.choices.keys() <= set(form.takes), form.name
        for flag in form.choices:
            known = flags.FLAGS[flag].choices
            assert known is None or set(form.choices[flag]) <= set(known), (form.name, flag)
    taken = {flag for form in pages.exports().values() for flag in form.takes}
    assert flags.FLAGS.keys() <= taken, "an option that no export takes"


def test_an_option_with_the_name_of_a_flag_has_its_values_in_the_export() -> None:
    """What can be chosen on the screen can be had without one."""
    for page in EVERY.values():
        for option in page.options:
            for form in page.exports[:1]:
                if option.name in form.choices and not callable(option.values):
                    values = {str(value).replace(" ", "-") for value in option.values}
                    alone = {"loss"} if page.name == "knockout" else set()  # a text's, so a row of the export's table
                    assert values >= {name.replace(" ", "-") for name in form.choices[option.name]} - alone, page.name
