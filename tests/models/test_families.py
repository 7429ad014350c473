"""Every family that the README names: heads against the folder's weights by hand and float64, activations against
transformers' own forward in float64, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.circuits.desk import Desk, error
from tests.models.raw import Raw
from tests.models.zoo import FAMILIES, MIXED, NOT_OPENED, OFF, REFUSED, SAID, VIEWS, table
from tui.circuits.errors import Refusal
from tui.engine.jobs import OV, QK, Attribution, Composition, Lens, Pattern, ResidualParts, Sources, Target
from tui.models.errors import ModelError

IDS = (3, 200, 260, 261, 7, 262, 263, 41, 260, 264, 12, 265, 9, 266, 150, 33)
"""Longer than the windows of 6."""
TOKENS = IDS[:6]
OPENED = [name for name in FAMILIES if name not in REFUSED]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root, made = tmp_path_factory.mktemp("families"), {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = FAMILIES[name].folder(root / name)
        return made[name]

    return folder


@pytest.fixture(scope="module")
def desk_of(folder_of: Callable[[str], Path]) -> Callable[[str], Desk]:
    made: dict[str, Desk] = {}

    def desk(name: str) -> Desk:
        if name not in made:
            made.clear()
            made[name] = Desk(folder_of(name))
        return made[name]

    return desk


def refused(desk: Desk, job: Composition) -> bool:
    """Whether a job is; where it is not it has numbers."""
    try:
        values = desk.get(job).values
    except Refusal:
        return True
    return not np.isfinite(values).all()


def own_forward(folder: Path) -> Any:
    """transformers' forward in float64."""
    from transformers import AutoModelForCausalLM

    eager = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, **eager).eval()
    with torch.inference_mode():
        return model(torch.tensor([IDS]), output_attentions=True, output_hidden_states=True)


@pytest.mark.parametrize("name", OPENED)
def test_circuits_from_the_weights(name: str, desk_of: Callable[[str], Desk], folder_of: Callable[[str], Path]) -> None:
    desk, raw, ids = desk_of(name), Raw.of(folder_of(name)), torch.tensor(TOKENS)
    off = desk.info.capabilities
    stretch = 1.0
    for layer, head in ((0, 1), (1, 2)):
        if not off.qk:
            qk = desk.get(QK(desk.key, layer, head, TOKENS, TOKENS, weights="raw", basis="embed")).values
            want = raw.bilinear(layer, head, ids, ids)
            if name in (
                "Llama, yarn",
                "Phi-3, longrope",
                "GPT-OSS",
            ):  # the rotation at distance 0 stretches by a constant
                stretch = float((torch.tensor(qk) / want).median())
                assert stretch != pytest.approx(1.0, abs=1e-3)
            assert error(qk, want * stretch) < 1e-5
        if not off.ov:
            ov = desk.get(OV(desk.key, layer, head, TOKENS, TOKENS, weights="raw", basis="embed")).values
            assert error(ov, raw.copies(layer, head, ids, ids)) < 1e-5


@pytest.mark.parametrize("name", OPENED)
def test_activations_and_their_sums(
    name: str, desk_of: Callable[[str], Desk], folder_of: Callable[[str], Path]
) -> None:
    desk, own = desk_of(name), own_forward(folder_of(name))
    off, run = desk.info.capabilities, desk.run(*IDS)
    logits = own.logits[0].numpy()
    for layer in range(desk.info.n_layers):
        got = desk.get(Pattern(run, layer, 1))
        want = own.attentions[layer][0, 1].numpy()
        assert np.nanmax(np.abs(got.values - want)) < 2e-5
        assert got.header.checks[next(key for key in got.header.checks if "softmax" in key)] < 2e-5
        if not off.qk:
            scaled = desk.get(QK(desk.key, layer, 1, IDS, IDS, form="scaled", basis="prompt", run=run))
            assert scaled.header.checks["max |softmax(scaled) − pattern|"] < 2e-5
    if off.residual:
        return
    parts = desk.get(ResidualParts(run, -1)).header.checks
    assert parts["max |stream − Σ parts| / max |stream|"] < 1e-5
    lens = desk.get(Lens(run, measure="answer", target=Target((260,)))).values[-1]
    assert error(lens, torch.tensor(logits).softmax(-1)[:, 260]) < 1e-4
    made = desk.get(Attribution(run, -1, Target((260,), (261,)))).header.checks
    cap = desk.bench.ends.logit_cap
    pair = cap * np.arctanh(logits[-1, [260, 261]] / cap) if cap else logits[-1, [260, 261]]
    assert made["sum"] == pytest.approx(float(pair[0] - pair[1]), abs=1e-4)
    if not off.ov:
        assert desk.get(Sources(run, 1, 2, Target((260,)))).header.checks["max |Σ sources − head|"] < 1e-5


@pytest.mark.parametrize("name", OPENED)
def test_what_is_refused(name: str, desk_of: Callable[[str], Desk]) -> None:
    """Just what the README's table says, each with a sentence; composition into queries and keys too."""
    desk, said = desk_of(name), OFF.get(name, {})
    failed = {check for check, value in desk.info.checks.items() if not value < 1e-4}
    assert ("q, k = norm(stream) W + b" in failed) == (name in ("OLMo, clipped", "OPT, norms behind")) == bool(failed)
    reasons = vars(desk.info.capabilities)
    assert {view for view in VIEWS if reasons.get(view)} == said.keys() - {"composition"}
    assert all(reason.endswith(".") for reason in reasons.values() if reason)
    off = {kind for kind in ("q", "k", "v") if refused(desk, Composition(desk.key, 1, 1, kind))}
    assert off - {"v"} == ({"q", "k"} if "composition" in said else set())
    assert ("v" in off) == ("ov" in said)
    assert (desk.info.n_experts > 0) == (said.get("neurons") == MIXED)


def test_the_readme_s_table() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert f"\n\n{table()}\n\n" in readme, "python -m tests.models.zoo prints the table"
    assert OFF.keys() | REFUSED.keys() | SAID.keys() <= FAMILIES.keys()
    assert REFUSED.keys() == NOT_OPENED.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_opened(name: str, folder_of: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError) as raised:
        Desk(folder_of(name))
    assert raised.value.message.startswith(REFUSED[name])
    assert raised.value.hint


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["GPT-2", "Llama", "Granite"])
def test_weight_products_of_16_bits_are_in_float32(name: str, dtype: str, folder_of: Callable[[str], Path]) -> None:
    """Against float64 products of the weights as they are rounded."""
    desk, raw, ids = Desk(folder_of(name), dtype), Raw.of(folder_of(name)), torch.tensor(TOKENS)
    assert desk.info.key.dtype == dtype
    raw.state = {key: value.to(getattr(torch, dtype)).double() for key, value in raw.state.items()}
    assert not desk.info.capabilities.qk
    assert not desk.info.capabilities.ov
    for layer, head in ((0, 1), (1, 2)):
        qk = desk.get(QK(desk.key, layer, head, TOKENS, TOKENS, weights="raw", basis="embed")).values
        assert error(qk, raw.bilinear(layer, head, ids, ids)) < 1e-6
        ov = desk.get(OV(desk.key, layer, head, TOKENS, TOKENS, weights="raw", basis="embed")).values
        assert error(ov, raw.copies(layer, head, ids, ids)) < 1e-6
