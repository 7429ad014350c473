"""The Python code of every view: run as it stands, it leaves the numbers of the view."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.circuits.desk import Desk, error
from tests.export import views
from tests.models.folders import llama_folder
from tests.models.zoo import FAMILIES
from tui import pages
from tui.declared import Say
from tui.engine.jobs import METRICS, Job
from tui.models.find import demo_folder
from tui.results import Curve, Gallery, Grid, Table
from tui.snippets import CHECKED, snippet


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(demo_folder())


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(llama_folder(tmp_path_factory.mktemp("snippets") / "llama"))


def ran(code: str) -> tuple[np.ndarray, str]:
    """``result`` of the code, and what it printed."""
    printed, names = io.StringIO(), {"__name__": "__main__"}
    enabled = torch.is_grad_enabled()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(code, "snippet", "exec"), names)
    finally:
        torch.set_grad_enabled(enabled)
    result: Any = names["result"]
    return result.double().cpu().numpy(), printed.getvalue()


def shown(result: Any) -> np.ndarray:
    """The numbers of a view as its code gives them."""
    if isinstance(result, Gallery):
        return np.stack([grid.values for grid in result.grids])
    if isinstance(result, Grid):
        return result.values
    if isinstance(result, Curve):
        return next(iter(result.series.values()))
    assert isinstance(result, Table)
    return np.array([row[-1] for row in result.rows])


NONE = {
    "pattern over a file": "no code over a file of prompts",
    "pattern over a file, spread": "no code over a file of prompts",
    "lens over a file": "no code over a file of prompts",
    "attribution over a file": "no code over a file of prompts",
    "heads, over the file": "no code over a file of prompts",
    "patching, loss": "not for a loss: m",
    "paths, ioi": "not for ioi: u",
    "knockout, mean": "not at mean: u",
    "knockout, loss": "not for a loss: m",
    "circuit, paths": "in Paths (Y)",
    "circuit, its edges": "in Paths (Y)",
    "steered": "the model is changed",
    "steered, singular": "the model is changed",
}
"""Views that have no code, and what the menu says of them."""


@pytest.mark.parametrize("case", [case for case in views.CASES if case not in NONE])
def test_the_code_of_a_view_gives_its_numbers(case: str, desk: Desk) -> None:
    s, job = views.shown(desk, case)
    code = views.said(snippet(s, job))
    got, printed = ran(code)
    want = shown(desk.get(job))
    if views.CASES[case][0] == "attribution":
        want = want[: len(got), 0]  # the file has the rounding in a row of its own
    if case.startswith("why"):
        want = np.delete(np.delete(want, -2, 0), -2, 1)  # as it has here
    if case.startswith("knockout"):
        want = want[:, : len(METRICS)]  # then what was predicted
    assert error(got, want) < 1e-4, code
    assert printed


@pytest.mark.parametrize("case", NONE)
def test_a_view_without_code_says_why(case: str, desk: Desk) -> None:
    s, job = views.shown(desk, case)
    answer = snippet(s, job)
    assert isinstance(answer, Say)
    assert NONE[case] in answer.sentence


def test_every_page_has_code() -> None:
    """In one of its modes at least."""
    there = {page for case, (page, _, _) in views.CASES.items() if case not in NONE}
    assert there == {page.name for page in pages.every()}


def test_the_code_imports_nothing_of_ours(desk: Desk) -> None:
    for case in views.CASES:
        code = snippet(*views.shown(desk, case))
        if isinstance(code, str):
            imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
            assert imported <= {"torch", "transformer_lens", "transformers"}, case
            assert max(map(len, code.splitlines())) < 240


@pytest.mark.parametrize("case", ["qk", "qk, softmax", "ov", "pattern", "pattern, scores", "pattern, value-weighted",
                                  "residual", "residual, raw", "lens", "attribution", "sources", "heads, copying",
                                  "pairs, QK", "svd", "compose, value", "patching, values", "paths, key",
                                  "knockout", "neurons"])  # fmt: skip
def test_rotary_grouped_and_rms_models_too(case: str, llama: Desk) -> None:
    """Another architecture, read from its folder: rotary positions, one key head for several queries, RMSNorm."""
    s, job = views.shown(llama, case)
    got = ran(views.said(snippet(s, job)))[0]
    want = shown(llama.get(job))
    want = want[: len(got), 0] if case == "attribution" else want[:, :5] if case == "knockout" else want
    assert error(got, want) < 1e-4


OTHERS = {
    "GPT-NeoX": (), "Qwen 2": (), "StableLM": (), "Mixtral": (), "Falcon": ("qk, effective",),
    "Phi": ("qk, effective",), "GPT-J": ("pattern, scores", "ov, raw, effective"),
    "OLMo": ("heads, copying", "pattern, value-weighted"), "Phi-3": ("heads, copying",),
    "Mistral": ("pattern", "cut", "sources", "pattern, all heads"),
}  # fmt: skip
"""Family → views of it that TransformerLens has otherwise."""
TRIED = [
    (name, case) for name in OTHERS for case in ("pattern", "qk", "attribution, neurons", "patching, values")
    if case not in OTHERS[name] and (name, case) not in {
        ("Mixtral", "attribution, neurons"),  # it has experts, no neurons
        ("Mistral", "patching, values"),  # its window leaves out what the pair differs in
    }
]  # fmt: skip


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Desk]:
    """One at a time is kept."""
    kept: dict[str, Desk] = {}

    def made(name: str) -> Desk:
        if name not in kept:
            kept.clear()
            kept[name] = Desk(FAMILIES[name].folder(tmp_path_factory.mktemp("family") / "model"))
        return kept[name]

    return made


def test_every_architecture_that_has_code_is_tried(family: Callable[[str], Desk], desk: Desk, llama: Desk) -> None:
    tried = {desk.info.architecture, llama.info.architecture, *(family(name).info.architecture for name in OTHERS)}
    assert tried == {*CHECKED}


@pytest.mark.parametrize(("name", "case"), TRIED)
def test_other_families_too(name: str, case: str, family: Callable[[str], Desk]) -> None:
    s, job = views.shown(family(name), case)
    want, got = shown(family(name).get(job)), ran(views.said(snippet(s, job)))[0]
    assert error(got, want[:, 0] if case.startswith("attribution") else want) < 1e-4


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in OTHERS.items() for case in cases])
def test_what_transformer_lens_has_otherwise_is_said(name: str, case: str, family: Callable[[str], Desk]) -> None:
    answer = snippet(*views.shown(family(name), case))
    assert isinstance(answer, Say)
    assert f"otherwise for {family(name).info.architecture}: s is the shell command" in answer.sentence


@pytest.mark.parametrize("name", ["Llama, yarn", "Phi-3, longrope"])
@pytest.mark.parametrize("case", ["qk", "qk, softmax", "pairs, QK", "compose, virtual QK"])
def test_rotations_that_scale_too(name: str, case: str, family: Callable[[str], Desk]) -> None:
    """YaRN and longrope make cosines and sines longer than one: so are products of queries and keys at no distance."""
    s, job = views.shown(family(name), case)
    assert error(ran(views.said(snippet(s, job)))[0], shown(family(name).get(job))) < 1e-4


def test_prompts_cannot_break_out_of_the_code(desk: Desk) -> None:
    """What a prompt says stands in a comment, on one line, without what a terminal would obey."""
    s = views.selection(desk, "pattern")
    tokens = s.tokens
    assert tokens is not None
    hostile = replace(tokens, texts=("<|bos|>", "\nimport os", '"""', "\x1b]52;c;aGk=\a", " robin"))
    s = replace(s, tokens=hostile)
    job = pages.of(s).shown(s)
    assert isinstance(job, Job)
    code = views.said(snippet(s, job))
    assert "\x1b" not in code
    assert "import·os" in next(line for line in code.splitlines() if line.startswith("tokens = "))
    ran(code)
