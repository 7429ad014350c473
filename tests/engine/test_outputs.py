"""Outputs that are classes of their own, not the input tokens: numbers against float64, names everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from torch import Tensor

from tests.circuits import reference
from tests.circuits.desk import Desk, error
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.engine.jobs import (
    OV,
    Attribution,
    AttributionOver,
    CopyingScores,
    Directions,
    FindTarget,
    Job,
    Lens,
    LensCurve,
    LensOver,
    LensTop,
    Nearest,
    NeuronTokens,
    NextTokens,
    OVRow,
    PairSearch,
    Partners,
    PartWrite,
    PreparePrompts,
    PromptRow,
    Residual,
    SingularTokens,
    SourceRow,
    StateAt,
    Target,
    TokenFilter,
    TopPairs,
    VirtualOV,
    Weights,
)
from tui.models.errors import ModelError
from tui.results import Grid, Table

IDS = (3, 1, 4, 1, 5, 9, 2, 6)
NAMES = ("no", "yes, certainly", "not known")
AT, HEAD = 4, (1, 2)
WEIGHTS = get_args(Weights)


def told(state: dict[str, Tensor], n_layers: int = 2, n_heads: int = 4, d_head: int = 8) -> reference.Model:
    """A checkpoint with LayerNorm as the float64 reference reads it."""
    w = {key: value.double().numpy() for key, value in state.items()}

    def norm(at: str) -> reference.Norm:
        return reference.Norm("LayerNorm", w[f"{at}.w"], w[f"{at}.b"], 1e-5)

    def neurons(layer: int, y: np.ndarray) -> np.ndarray:
        y = y @ w[f"blocks.{layer}.mlp.W_in"] + w[f"blocks.{layer}.mlp.b_in"]
        return 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))

    def each(name: str) -> list[np.ndarray]:
        return [w[f"blocks.{layer}.{name}"] for layer in range(n_layers)]

    parts = [each(f"attn.{part}") for part in ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O")]
    heads = [[reference.Head(*(part[i][h] for part in parts)) for h in range(n_heads)] for i in range(n_layers)]
    norms, mlp_norms = ([norm(f"blocks.{i}.{name}") for i in range(n_layers)] for name in ("ln1", "ln2"))
    return reference.Model(
        w["embed.W_E"], w["pos_embed.W_pos"], w["unembed.W_U"], norm("ln_final"), norms, heads, each("attn.b_O"),
        mlp_norms, neurons, each("mlp.W_out"), each("mlp.b_out"), None, d_head**0.5,
    )  # fmt: skip


class Classifier:
    """50 tokens in, 3 classes out, on a desk and as the reference has it."""

    def __init__(self, folder: Path) -> None:
        config, state = folders.random_checkpoint(d_vocab_out=3)
        folders.tl_checkpoint(folder, config, state)
        (folder / "vocab_out.json").write_text(json.dumps(NAMES))
        self.desk = Desk(folder)
        self.want, self.b_U = told(state), state["unembed.b_U"].double().numpy()
        self.run = self.want.forward(list(IDS))
        self.logits = self.run.logits + self.b_U

    def get(self, kind: Any, *options: Any, **named: Any) -> Any:
        """The answer to a job on the model."""
        return self.desk.get(kind(self.desk.key, *options, **named))

    def on_run(self, kind: Any, *options: Any, **named: Any) -> Any:
        """The answer to a job on the prompt."""
        return self.desk.get(kind(self.desk.run(*IDS), *options, **named))

    def ov(self, layer: int, head: int | None, weights: Weights) -> np.ndarray:
        """``[50, 3]``: the whole OV circuit or direct path."""
        norm = layer if head is not None else 0
        return self.want.ov(layer, head, weights, self.want.basis("embed", weights, norm))

    def effect(self, write: np.ndarray) -> np.ndarray:
        """What a write adds to every logit at ``AT``, through the frozen norm."""
        final = self.want.final
        return (write - write.mean()) / final.scale(self.run.stream[-1][AT]) * final.w @ self.want.W_U


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier(tmp_path_factory.mktemp("classes"))


def column(table: Table, name: str) -> list[Any]:
    return [row[table.columns.index(name)] for row in table.rows]


def check_ranked(table: Table, values: np.ndarray, shown: bool = False) -> None:
    """A table of what one row over the outputs promotes and suppresses."""
    order = np.argsort(-values).tolist()
    ids = [*order, *([0, 1, 2] if shown else [])]
    assert column(table, "part") == ["promoted"] * 3 + ["shown"] * (len(ids) - 3)
    assert column(table, "id") == ids
    assert column(table, "token") == [NAMES[i] for i in ids]
    assert column(table, "rank") == [order.index(i) + 1 for i in ids]
    assert error(column(table, "value"), values[ids]) < 1e-5


def test_next(classes: Classifier) -> None:
    table = classes.on_run(NextTokens, AT)
    order = np.argsort(-classes.logits[AT])
    assert column(table, "id") == order.tolist()
    assert column(table, "token") == [NAMES[i] for i in order]
    assert error(column(table, "probability"), reference.softmax(classes.logits[AT])[order]) < 1e-5
    assert (table.header.quantity, table.header.explanation) == (
        "output class",
        "the likeliest classes, read at this position",
    )


def test_lens(classes: Classifier) -> None:
    stream, target = np.stack(classes.run.stream), Target((2,), (0,))
    logits = classes.want.final(stream) @ classes.want.W_U + classes.b_U
    chances = reference.softmax(logits)
    grid = classes.on_run(Lens)
    assert grid.text == tuple(tuple(NAMES[i] for i in row) for row in logits.argmax(-1))
    assert error(grid.values, chances.max(-1)) < 1e-5
    assert grid.header.quantity == "logit lens, probability of the likeliest class"
    assert "probability of the likeliest class if" in grid.header.explanation
    assert error(classes.on_run(Lens, "answer", target).values, chances[..., 2]) < 1e-5
    assert classes.on_run(Lens, "rank", target).values.tolist() == (1 + (logits > logits[..., [2]]).sum(-1)).tolist()
    assert "rank of not known (1" in classes.on_run(Lens, "rank", target).header.explanation
    top = classes.on_run(LensTop, "L1.pre", AT)
    assert column(top, "token") == [NAMES[i] for i in np.argsort(-logits[1, AT])]
    curve = classes.on_run(LensCurve, AT, target)
    assert error(curve.series["answer not known"], chances[:, AT, 2]) < 1e-5
    assert error(curve.series["distractor no"], chances[:, AT, 0]) < 1e-5


@pytest.mark.parametrize("target", [Target((1,)), Target((1,), (2,)), Target((0, 2), (1,))])
def test_attribution(classes: Classifier, target: Target) -> None:
    def towards(values: np.ndarray) -> Any:
        other = values[..., list(target.distractors)] if target.distractors else values
        return values[..., list(target.answers)].mean(-1) - other.mean(-1)

    grid = classes.on_run(Attribution, AT, target)
    want = dict(classes.run.parts)
    assert grid.rows.labels[:-2] == tuple(want)
    assert error(grid.values[:-2, 0], [towards(classes.effect(write[AT])) for write in want.values()]) < 1e-5
    assert abs(grid.header.checks["value"] - towards(classes.logits[AT])) < 1e-5
    assert grid.header.checks["error"] < 1e-5
    whole = classes.on_run(Residual, "processed", "answer", target, "head")
    assert error(whole.values[:, AT], grid.values[:-2, 0]) < 1e-5
    # What the weights say of each source stands beside its share.
    row = classes.on_run(SourceRow, *HEAD, AT, target)
    assert error(column(row, "OV"), towards(classes.ov(*HEAD, "processed")[list(IDS[: AT + 1])])) < 1e-5


def test_attribution_says_which_class(classes: Classifier) -> None:
    said = classes.on_run(Attribution, AT, Target((1,), (0,))).header
    assert said.explanation.startswith("push toward yes, certainly, away from no, through")
    assert said.convention["answer"] == "yes, certainly"
    alone = classes.on_run(Attribution, AT, Target((1,))).header
    assert alone.explanation.endswith("parts sum to the logit minus its mean over the classes")


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("head", [2, 0])
@pytest.mark.parametrize("outputs", [IDS, (), None])
def test_ov(classes: Classifier, weights: Weights, head: int, outputs: tuple[int, ...] | None) -> None:
    """Columns are the classes, whatever tokens are shown."""
    want = classes.ov(1, head, weights)
    grid = classes.get(OV, 1, head, IDS, outputs, weights)
    assert (grid.cols.name, grid.cols.labels, grid.cols.ids) == ("output", NAMES, None)
    assert error(grid.values, want[list(IDS)]) < 1e-5
    assert grid.header.convention["outputs"] == "all classes"
    for baseline in ("shown", "vocabulary"):
        z = classes.get(OV, 1, head, IDS, outputs, weights, "zscore", baseline)
        assert error(z.values, reference.normalised(want[list(IDS)], "zscore")) < 1e-5
        assert "the whole vocabulary" not in z.header.formula
    check_ranked(classes.get(OVRow, 1, head, 9, IDS, 10, weights), want[9], shown=True)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_virtual_ov(classes: Classifier, weights: Weights) -> None:
    want, x = classes.want, classes.want.basis("embed", weights, 0)[list(IDS)]
    for layer, head in ((0, 1), (1, 3)):
        one = want.processed(layer, head) if weights == "processed" else want.heads[layer][head]
        x = x @ one.W_V @ one.W_O
    grid = classes.get(VirtualOV, ((0, 1), (1, 3)), IDS, IDS, weights)
    assert grid.cols.labels == NAMES
    assert error(grid.values, x @ want.unembed(weights)) < 1e-5


@pytest.mark.parametrize("weights", WEIGHTS)
def test_partners_and_pairs(classes: Classifier, weights: Weights) -> None:
    want = classes.ov(*HEAD, weights)
    for chosen in (TokenFilter(), TokenFilter(same=False), TokenFilter(shortest=2)):
        of_token = classes.get(Partners, *HEAD, 1, "source", weights, filter=chosen)
        order = np.argsort(-want[1])
        assert column(of_token, "id") == order.tolist()
        assert column(of_token, "token") == [NAMES[i] for i in order]
        assert error(column(of_token, "z"), ((want[1] - want[1].mean()) / want[1].std())[order]) < 1e-4
        # Class 1 is not token 1: neither is left out for the other. The filter is one of tokens.
        kept = [i for i in range(50) if len(str(i)) >= chosen.shortest]
        order = np.array(kept)[np.argsort(-want[kept, 1])]
        of_class = classes.get(Partners, *HEAD, 1, "output", weights, filter=chosen, k=50)
        assert column(of_class, "id") == order.tolist()
        assert column(of_class, "token") == [str(i) for i in order]
        assert "promote yes, certainly most" in of_class.header.explanation
        pairs = classes.get(TopPairs, *HEAD, "ov", weights, filter=chosen, k=20)
        best = sorted((-want[i, j], i, j) for i in kept for j in range(3))[:20]
        assert [(row[2], row[4]) for row in pairs.rows] == [(i, j) for _, i, j in best]
        assert [(row[1], row[3]) for row in pairs.rows] == [(str(i), NAMES[j]) for _, i, j in best]
        assert error(column(pairs, "value"), [-value for value, _, _ in best]) < 1e-5
        assert pairs.header.details["products"] == f"100 % of {3 * len(kept)} made"
    with pytest.raises(ModelError, match="Output 3 does not exist"):
        classes.get(Partners, *HEAD, 3, "output")
    assert column(classes.get(Partners, *HEAD, 3, "query"), "token")[0].isdigit()


def test_nearest(classes: Classifier) -> None:
    W = classes.want.W_U / np.linalg.norm(classes.want.W_U, axis=0)
    others = sorted((0, 2), key=lambda i: -W[:, 1] @ W[:, i])
    table = classes.get(Nearest, 1, "unembedding")
    assert column(table, "token") == [NAMES[i] for i in others]
    assert error(column(table, "cosine"), [W[:, 1] @ W[:, i] for i in others]) < 1e-5
    assert "cosine with yes, certainly, which" in table.header.explanation
    assert len(classes.get(Nearest, 3, "embedding").rows) == 20
    with pytest.raises(Refusal, match="Output 3 does not exist"):
        classes.get(Nearest, 3, "unembedding")


@pytest.mark.parametrize("weights", WEIGHTS)
def test_directions_of_weights(classes: Classifier, weights: Weights) -> None:
    want, U = classes.want, classes.want.unembed(weights)
    neuron = want.W_out[0][7] @ (want.centre if weights == "processed" else np.eye(32))
    check_ranked(classes.get(NeuronTokens, 0, 7, weights), neuron @ U)
    head = want.processed(*HEAD) if weights == "processed" else want.heads[HEAD[0]][HEAD[1]]
    right = np.linalg.svd(head.W_V @ head.W_O)[2][0] @ U
    table = classes.get(SingularTokens, *HEAD, "ov", 0, weights)
    rows = [row for row in table.rows if row[0] == "output"]
    values = np.array([row[4] for row in rows])
    right *= np.sign(values[0] * right[rows[0][3]])
    assert [row[3] for row in rows] == np.argsort(-right).tolist()
    assert [row[2] for row in rows] == [NAMES[row[3]] for row in rows]
    assert error(values, np.sort(right)[::-1]) < 1e-4


def test_directions_of_the_stream(classes: Classifier) -> None:
    logits = classes.want.final(classes.run.stream[1][AT]) @ classes.want.W_U + classes.b_U
    state = classes.on_run(Directions, StateAt("L1.pre", AT))
    check_ranked(state, logits - logits.mean())
    assert state.header.formula.endswith("− mean over the classes")
    effect = classes.effect(dict(classes.run.parts)["L1H2"][AT])
    check_ranked(classes.on_run(Directions, PartWrite("L1H2", AT)), effect - effect.mean())


def test_what_needs_one_vocabulary_is_refused(classes: Classifier) -> None:
    key = classes.desk.key
    jobs: list[Job] = [CopyingScores(key), PairSearch(key, ((1, 2),), "ov"), OV(key, 0, None, IDS, IDS),
                       OVRow(key, 0, None, 9)]  # fmt: skip
    for job in jobs:
        with pytest.raises(Refusal, match="this model's are 3 classes of their own"):
            classes.desk.get(job)
    assert isinstance(classes.get(PairSearch, ((1, 2),), "qk"), Grid)


@pytest.mark.parametrize(
    ("text", "answers", "distractors", "label"),
    [
        ("#1", (1,), (), "yes, certainly"),
        ("yes, certainly - no", (1,), (0,), "yes, certainly − no"),
        ("not known, no - #1", (2, 0), (1,), "not known, no − yes, certainly"),
    ],
)
def test_answers_are_classes(
    classes: Classifier, text: str, answers: tuple[int, ...], distractors: tuple[int, ...], label: str
) -> None:
    found = classes.get(FindTarget, text)
    assert (found.answers.ids, found.distractors.ids, found.label) == (answers, distractors, label)
    assert found.answers.texts == tuple(NAMES[i] for i in answers)


@pytest.mark.parametrize(
    ("text", "message"),
    [("7", '"7" is none of this model\'s outputs.'), ("#3", "Output 3 does not exist in this model.")],
)
def test_a_token_is_no_answer(classes: Classifier, text: str, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        classes.get(FindTarget, text)
    assert raised.value.message == message
    assert raised.value.hint


def test_an_output_that_does_not_exist(classes: Classifier) -> None:
    for kind, options in ((Attribution, (AT, Target((3,)))), (Lens, ("answer", Target((0,), (3,))))):
        with pytest.raises(Refusal, match="Output 3 does not exist: this model's are 0 to 2"):
            classes.on_run(kind, *options)


def test_a_file_of_prompts(classes: Classifier) -> None:
    text = " ".join(map(str, IDS))
    prompts = classes.get(PreparePrompts, "two", (PromptRow(text, "not known", "no"), PromptRow("1 2 3")), False)
    assert prompts.targets == (Target((2,), (0,)), None)
    run = classes.want.forward([1, 2, 3]).logits[-1] + classes.b_U
    own = classes.logits[-1]
    table = classes.get(LensOver, prompts)
    chances = [reference.softmax(own)[2], reference.softmax(run).max()]
    assert error(table.rows[-1][1:2], [np.mean(chances)]) < 1e-5
    grid = classes.get(AttributionOver, prompts)
    assert abs(grid.header.checks["value"] - np.mean([own[2] - own[0], run.max() - run.mean()])) < 1e-5
    assert "likeliest class" in str(grid.header.convention["answer"])
