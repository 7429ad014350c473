"""Attribution by part and by neuron: against float64, TransformerLens' own and known answers; sums everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.circuits.conftest import EVERY, IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.reference import softmax
from tests.circuits.test_residual import TARGETS, of_target, parts_of, towards
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.engine.jobs import Attribution, Grain, Target, Unit
from tui.engine.jobs.parts import Forward
from tui.results import Grid

LIMITS = {"float32": 1e-4, "bfloat16": 3e-2}
"""Of the largest part."""
PROMPT = (3, 20, 41, 7, 12, 33, 9, 48, 20, 15)
"""Longer than the windows of 6, in every vocabulary."""
ANYWHERE = (Target((5,)), Target((5,), (7,)), Target((5, 6, 11), (7, 13)))


def rows(grid: Grid) -> dict[str, float]:
    return dict(zip(grid.rows.labels, grid.values[:, 0].tolist(), strict=True))


def adds_up(grid: Grid, limit: float) -> None:
    """The three checks, and that they are of these rows."""
    checks = grid.header.checks
    assert set(checks) == {"value", "sum", "error"}
    largest = float(np.abs(grid.values).max())
    assert checks["sum"] == pytest.approx(float(grid.values.sum(dtype=np.float64)), abs=1e-5 * largest)
    assert checks["error"] == abs(checks["sum"] - checks["value"])
    assert checks["error"] <= limit * largest
    assert abs(rows(grid).get("rounding", 0.0)) <= limit * largest


@pytest.mark.parametrize("unit", get_args(Unit))
@pytest.mark.parametrize("target", TARGETS)
def test_against_float64(pair: Pair, unit: Unit, target: Target) -> None:
    want = parts_of(pair, unit)
    final, logits = pair.want.final, pair.run.logits
    for at in (0, 3, len(IDS) - 1):
        grid = pair.desk.get(Attribution(pair.desk.run(*IDS), at, target, unit))
        assert grid.rows.labels == (*want, "unembed.bias", "rounding")
        assert (grid.cols.labels, grid.diverging) == (("attribution",), True)
        assert error(grid.values[:-2, 0], [towards(pair, value, target)[at] for value in want.values()]) < 1e-5
        assert rows(grid)["unembed.bias"] == pytest.approx(of_target(final.b @ pair.want.W_U, target), abs=1e-5)
        assert grid.header.checks["value"] == pytest.approx(of_target(logits[at], target), abs=1e-5)
        adds_up(grid, 1e-6)


def test_what_is_said(pair: Pair) -> None:
    header = pair.desk.get(Attribution(pair.desk.run(*IDS), -1, TARGETS[1])).header
    assert (header.view, header.unit, header.head) == ("attribution", "logit", None)
    said = {"position": len(IDS) - 1, "unit": "head", "answer": " Paris", "distractor": " London", "bos": False}
    assert said.items() <= header.convention.items()
    assert header.explanation == (
        "push toward ·Paris, away from ·London, through the final norm's frozen scale; "
        "parts sum to the logit difference"
    )
    alone = pair.desk.get(Attribution(pair.desk.run(*IDS), -1, TARGETS[0])).header
    assert alone.explanation.endswith("parts sum to the logit minus its mean over the vocabulary")


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", EVERY)
def test_sums_on_every_architecture(name: str, dtype: str, desk_of: Callable[[str, str], Desk]) -> None:
    """Post-norms, parallel blocks, soft caps, grouped keys, biases, no norms, no MLPs."""
    if (name, dtype) == ("olmo2", "bfloat16"):
        pytest.skip("TransformerLens cannot run it: its attention mixes float32 patterns with bfloat16 values")
    desk = desk_of(name, dtype)
    for target in ANYWHERE:
        for at in (0, 7, -1):
            for unit in get_args(Unit):
                adds_up(desk.get(Attribution(desk.run(*PROMPT), at, target, unit)), LIMITS[dtype])
            for layer in range(desk.info.n_layers if desk.info.d_mlp else 0):
                adds_up(desk.get(Attribution(desk.run(*PROMPT), at, target, "neuron", layer, 7)), LIMITS[dtype])


def test_soft_capped_logits_are_taken_before_the_cap(desk_of: Callable[[str], Desk]) -> None:
    desk = desk_of("gemma2")
    logits = desk.get(Forward(desk.run(*PROMPT))).logits.double().numpy()[-1]
    for target in ANYWHERE:
        grid = desk.get(Attribution(desk.run(*PROMPT), -1, target))
        before = 5.0 * np.arctanh(logits / 5.0)
        other = before[list(target.distractors)].mean() if target.distractors else 0.0
        assert grid.header.checks["value"] == pytest.approx(before[list(target.answers)].mean() - other, abs=1e-3)
        assert "before the cap" in str(grid.header.details["note"])
        assert grid.header.explanation.endswith(" before the cap")


def gemma2(folder: Path, ids: tuple[int, ...]) -> dict[str, Any]:
    """Gemma 2 in float64: each part's write into the stream after its post-norm, the final stream and W_U."""
    config = json.loads((folder / "config.json").read_text())
    state = {k.removeprefix("model."): v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}
    n, size, heads, groups = len(ids), config["head_dim"], config["num_attention_heads"], config["num_key_value_heads"]
    ages = np.arange(n)[:, None] - np.arange(n)[None]
    angle = np.arange(n)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
    cos, sin = np.tile(np.cos(angle), 2), np.tile(np.sin(angle), 2)

    def rms(x: np.ndarray) -> np.ndarray:
        return np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"])

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / rms(x) * (1 + state[f"{name}.weight"])

    def rope(x: np.ndarray) -> np.ndarray:
        return x * cos + np.concatenate([-x[:, size // 2 :], x[:, : size // 2]], 1) * sin

    x = state["embed_tokens.weight"][list(ids)] * config["hidden_size"] ** 0.5
    writes = {"embed": x}
    for layer in range(config["num_hidden_layers"]):
        at = f"layers.{layer}."
        seen = (ages >= 0) & ((ages < config["sliding_window"]) | (layer % 2 == 1))
        read, raw = norm(x, at + "input_layernorm"), []
        for head in range(heads):
            shared = head // (heads // groups)
            mine, theirs = slice(head * size, (head + 1) * size), slice(shared * size, (shared + 1) * size)
            W_Q, W_K, W_V = (
                state[f"{at}self_attn.{side}_proj.weight"][cut].T
                for side, cut in (("q", mine), ("k", theirs), ("v", theirs))
            )
            scores = rope(read @ W_Q) @ rope(read @ W_K).T / config["query_pre_attn_scalar"] ** 0.5
            cap = config["attn_logit_softcapping"]
            pattern = np.nan_to_num(softmax(np.where(seen, cap * np.tanh(scores / cap), np.nan)))
            raw.append(pattern @ (read @ W_V) @ state[at + "self_attn.o_proj.weight"][:, mine].T)
        gain = (1 + state[at + "post_attention_layernorm.weight"]) / rms(sum(raw))
        for head, write in enumerate(raw):
            writes[f"L{layer}H{head}"] = write * gain
            x = x + write * gain
        y = norm(x, at + "pre_feedforward_layernorm")
        gate = y @ state[at + "mlp.gate_proj.weight"].T
        gate = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        acts = gate * (y @ state[at + "mlp.up_proj.weight"].T)
        W_out = state[at + "mlp.down_proj.weight"].T
        gain = (1 + state[at + "post_feedforward_layernorm.weight"]) / rms(acts @ W_out)
        writes[f"L{layer}.mlp"] = acts @ W_out * gain
        writes |= {f"L{layer}N{i}": acts[:, i : i + 1] * W_out[i] * gain for i in range(acts.shape[1])}
        x = x + writes[f"L{layer}.mlp"]
    reads = (1 + state["norm.weight"])[:, None] * state["embed_tokens.weight"].T
    return {name: write / rms(x) @ reads for name, write in writes.items()}


def test_post_norms_against_float64(tmp_path: Path) -> None:
    """Gemma 2 normalises what attention and MLP write: a head's share goes through that norm's scale and gain."""
    folder = folders.gemma2_folder(tmp_path)
    desk, want = Desk(folder), gemma2(folder, PROMPT)
    for at, target in ((-1, Target((5, 6), (7,))), (4, Target((5,)))):
        effects = {
            name: logits[at, list(target.answers)].mean()
            - (logits[at, list(target.distractors)].mean() if target.distractors else 0.0)
            for name, logits in want.items()
        }
        found = rows(desk.get(Attribution(desk.run(*PROMPT), at, target)))
        shown = [name for name in found if name not in ("unembed.bias", "rounding")]
        assert set(shown) == {name for name in effects if "N" not in name}
        assert error([found[name] for name in shown], [effects[name] for name in shown]) < 1e-5
        neurons = rows(desk.get(Attribution(desk.run(*PROMPT), at, target, "neuron", 1, 48)))
        assert error(list(neurons.values()), [effects[name] for name in neurons]) < 1e-5
        assert [abs(value) for value in neurons.values()] == sorted(map(abs, neurons.values()), reverse=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Any]:
    """GPT-2 on our desk and as TransformerLens processes it."""
    from transformer_lens.model_bridge import TransformerBridge

    folder = folders.gpt2_folder(tmp_path_factory.mktemp("gpt2"))
    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu")
    bridge.enable_compatibility_mode(fold_value_biases=False)  # else a head loses b_V to the layer's bias
    return Desk(folder), bridge


@pytest.mark.parametrize("unit", get_args(Unit))
def test_as_transformer_lens_has_it(both: tuple[Desk, Any], unit: Unit) -> None:
    from transformer_lens.tools.analysis import direct_logit_attribution

    desk, bridge = both
    found = rows(desk.get(Attribution(desk.run(*IDS), -1, TARGETS[1], unit)))
    with torch.inference_mode():
        theirs = direct_logit_attribution(bridge, torch.tensor([IDS]), 260, 264, unit=unit)
    for label, value in zip(theirs.labels, theirs.attribution.flatten().tolist(), strict=True):
        layer, _, kind = label.partition("_")
        ours = {"attn_out": f"L{layer}.attn", "mlp_out": f"L{layer}.mlp"}.get(kind, label)
        ours = {"embed": "embed", "pos_embed": "pos"}.get(label, ours)
        if ours in found:
            assert found.pop(ours) == pytest.approx(value, abs=1e-5)
    left = {"unembed.bias", "rounding"}
    if unit == "head":  # there everything but heads is one remainder
        left |= {name for name in found if "H" not in name}
    assert set(found) == left


def test_stream_as_transformer_lens_decomposes_it(both: tuple[Desk, Any]) -> None:
    desk, bridge = both
    found = rows(desk.get(Attribution(desk.run(*IDS), -1, TARGETS[1], "component")))
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([IDS]))
        stack, labels = cache.decompose_resid(pos_slice=-1, return_labels=True)
        values = cache.logit_attrs(stack, tokens=260, incorrect_tokens=264, pos_slice=-1).flatten().tolist()
    assert error(list(found.values())[: len(labels)], values) < 1e-5


def test_neurons_against_float64(pair: Pair) -> None:
    layer, at = 1, 4
    x = pair.run.stream[layer] + sum(
        v for name, v in pair.run.parts if name.startswith(f"L{layer}") and "mlp" not in name
    )
    acts, W_out, b_out = pair.want.activations(layer, x), pair.want.W_out[layer], pair.want.b_out[layer]
    for target in TARGETS:
        effects = np.array([towards(pair, acts[:, [n]] * W_out[n], target)[at] for n in range(len(W_out))])
        order = np.argsort(-np.abs(effects))[:6]
        grid = pair.desk.get(Attribution(pair.desk.run(*IDS), at, target, "neuron", layer, 6))
        labels = [f"L1N{n}" for n in order] + ["others"] + ["L1.mlp.bias"] * bool(b_out.any())
        assert list(grid.rows.labels) == labels
        bias = towards(pair, np.broadcast_to(b_out, x.shape), target)[at]
        want = [*effects[order], effects.sum() - effects[order].sum(), *([bias] if b_out.any() else [])]
        assert error(grid.values[:, 0], want) < 1e-5
        whole = towards(pair, dict(pair.run.parts)[f"L{layer}.mlp"], target)[at]
        assert grid.header.checks["value"] == pytest.approx(whole, abs=1e-5)
        assert grid.header.head == "L1"
    everyone = pair.desk.get(Attribution(pair.desk.run(*IDS), at, TARGETS[0], "neuron", layer, 10_000))
    assert "others" not in everyone.rows.labels


def test_induction_head_says_it_all(induction: Desk) -> None:
    """After … A B … A only L1H0 writes what W_U reads: 1 for B, minus its mean over the vocabulary."""
    run = induction.run(3, 8, 1, 12, 5, 3)
    for target, value in ((Target((8,)), 1 - 1 / 16), (Target((8,), (2,)), 1.0), (Target((8, 2), (1, 4)), 0.5)):
        for unit, part in (("head", "L1H0"), ("component", "L1.attn")):
            found = rows(induction.get(Attribution(run, -1, target, unit)))  # type: ignore[arg-type]
            assert found.pop(part) == pytest.approx(value, abs=1e-6)
            assert not any(found.values())


def test_a_position_costs_no_forward_pass(pair: Pair) -> None:
    run = pair.desk.run(*IDS[:6])
    for at in range(6):
        for unit in get_args(Grain):
            pair.desk.get(Attribution(run, at, TARGETS[0], unit, 0 if unit == "neuron" else None))
    assert [job for job in pair.desk.computed if isinstance(job, Forward) and job.run == run] == [Forward(run)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"position": 7}, "Position 7 is not in the prompt: its positions are 0 to 6"),
        ({"position": -8}, "Position -8 is not"),
        ({"target": Target((270,))}, "270 is not in the vocabulary"),
        ({"target": Target((1,), (-1,))}, "-1 is not in the vocabulary"),
        ({"target": Target(())}, "needs an answer"),
        ({"unit": "neuron"}, "belong to one layer's MLP"),
        ({"unit": "neuron", "layer": 2}, "Layer 2 does not exist"),
    ],
)
def test_refusals(pair: Pair, changes: dict[str, Any], sentence: str) -> None:
    options = {"position": -1, "target": TARGETS[0]} | changes
    with pytest.raises(Refusal, match=sentence):
        pair.desk.get(Attribution(pair.desk.run(*IDS), **options))


def test_no_neurons_without_mlps(induction: Desk) -> None:
    with pytest.raises(Refusal, match="no MLPs"):
        induction.get(Attribution(induction.run(1, 2), -1, Target((1,)), "neuron", 0))
