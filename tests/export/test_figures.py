"""Figures for a paper: the numbers in them are those of the Result, and the same result gives the same bytes."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from tests.app.recorded import info, tokens
from tests.export.headless import run
from tests.models.folders import gpt2_folder
from tui.figures import About, Missing, cell_text, drawable, encoded, figure_of
from tui.framing import FORMS, FigureLook, read
from tui.results import Axis, Curve, Gallery, Graph, Grid, Header, Link, Table, frozen

WORDS = ("<|bos|>", " The", " capital", " of", "東", "\x1b[31m", "$x$")
ABOUT = About(info(), tokens(["<|bos|>", " The"], True), "The")
HEADER = Header("qk", "QK circuit, bilinear", "x_i W_QK x_jᵀ", "score", "L1H3", "row = query, column = key",
                {"bos": True, "weights": "processed"}, {"max |a − b|": 1e-7})  # fmt: skip


def grid(values: Any, head: str = "L1H3", **changes: Any) -> Grid:
    values = frozen(np.asarray(values, dtype=np.float32))
    rows, cols = (Axis(name, WORDS[:size], tuple(range(size)))
                  for name, size in zip(("query", "key"), values.shape, strict=True))  # fmt: skip
    return Grid(replace(HEADER, head=head), values, rows, cols, changes.pop("diverging", True), **changes)


def numbers(rows: int = 5, cols: int = 5, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, cols)).astype(np.float32)
    values[0, -1] = np.nan
    return values


def meshes(figure: Any) -> list[Any]:
    """The matrices of a figure, without the colour bar's."""
    return [place.collections[0] for place in figure.axes if place.get_label() != "<colorbar>" and place.collections]


def test_the_cells_are_the_numbers_of_the_result() -> None:
    values = numbers()
    figure = figure_of([grid(values)], FigureLook(), ABOUT)
    (mesh,) = meshes(figure)
    read_back = np.ma.filled(mesh.get_array(), np.nan).reshape(values.shape)
    np.testing.assert_array_equal(read_back, values)
    most = float(np.nanmax(np.abs(values)))
    assert mesh.get_clim() == (-most, most), "zero in the middle"
    written = [text.get_text() for place in figure.axes for text in place.texts]
    assert written == [cell_text(grid(values), r, c) for r in range(5) for c in range(5) if (r, c) != (0, 4)]


def test_labels_are_tokens_as_on_the_screen_and_what_the_font_lacks_is_escaped() -> None:
    values = numbers(7, 7)
    figure = figure_of([grid(values)], FigureLook(width=20, height=20), ABOUT)
    place = next(place for place in figure.axes if place.collections)
    assert [text.get_text() for text in place.get_xticklabels()] == [
        "⟨bos⟩", "·The", "·capital", "·of", "<U+6771>", "<U+001B>[31m", "$x$",
    ]  # fmt: skip
    assert drawable("a東\n") == "a<U+6771>\n"


def test_several_heads_share_one_scale() -> None:
    one, other = numbers(seed=1), 3 * numbers(seed=2)
    figure = figure_of([grid(one, "L0H1"), grid(other, "L0H2")], FigureLook("dark", 16, 6), ABOUT, ("a", "b"))
    limits = {mesh.get_clim() for mesh in meshes(figure)}
    most = float(np.nanmax(np.abs(np.stack([one, other]))))
    assert limits == {(-most, most)}
    assert [place.get_title() for place in figure.axes if place.collections][:2] == ["a", "b"]
    gallery = Gallery(HEADER, tuple(grid(numbers(seed=at), f"L0H{at}") for at in range(6)))
    assert len(meshes(figure_of([gallery], FigureLook(), ABOUT))) == 6


def test_limits_of_the_quantity_are_the_ends_of_the_scale() -> None:
    shares = grid(np.full((3, 3), 0.25), diverging=False, limits=(0.0, 1.0))
    (mesh,) = meshes(figure_of([shares], FigureLook(), ABOUT))
    assert mesh.get_clim() == (0.0, 1.0)


def test_values_are_written_where_there_is_room() -> None:
    crowded = grid(np.ones((7, 7)))
    crowded = replace(crowded, values=frozen(np.ones((90, 90), dtype=np.float32)),
                      rows=Axis("query", ("a",) * 90), cols=Axis("key", ("b",) * 90))  # fmt: skip
    for look, count in ((FigureLook(), 0), (FigureLook(numbers="plain"), 0)):
        assert sum(len(place.texts) for place in figure_of([crowded], look, ABOUT).axes) == count
    small = grid(numbers(2, 2))
    assert sum(len(place.texts) for place in figure_of([small], FigureLook(numbers="plain"), ABOUT).axes) == 0
    assert sum(len(place.texts) for place in figure_of([small], FigureLook(), ABOUT).axes) == 3
    lens = grid(numbers(2, 2), text=(("", " Paris"), (" a", " b")))
    assert cell_text(lens, 1, 0).startswith("·a\n")


def test_lists_and_curves_have_figures_of_their_own_numbers() -> None:
    table = Table(HEADER, ("part", "token", "value"), (("L0H1", " a", 2.5), ("L0.mlp", " b", -1.25)), "value")
    figure = figure_of([table], FigureLook(), ABOUT)
    bars = [bar.get_width() for bar in figure.axes[0].patches]
    assert bars == [2.5, -1.25]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["L0H1 → ·a", "L0.mlp → ·b"]
    curve = Curve(HEADER, "index", "σ", np.arange(3, dtype=np.float32), {"W_OV": np.array([3.0, 2.0, 1.0])})
    (line,) = figure_of([curve], FigureLook(), ABOUT).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [3.0, 2.0, 1.0])
    both = figure_of([curve, replace(curve, header=replace(HEADER, head="L0H0"))], FigureLook(), ABOUT)
    assert [text.get_text() for text in both.axes[0].get_legend().texts] == ["L1H3 · W_OV", "L0H0 · W_OV"]
    graph = Graph(HEADER, ("L0H1", "L1H0"), (Link(0, 1, (("q", 0.5), ("k", -0.75))),), "recovered")
    assert [bar.get_width() for bar in figure_of([graph], FigureLook(), ABOUT).axes[0].patches] == [-0.75, 0.5]


def test_what_has_no_numbers_is_refused() -> None:
    empty = Table(HEADER, ("part", "value"), ())
    with pytest.raises(ValueError, match="no number to draw"):
        encoded([empty], "svg", FigureLook(), ABOUT)
    with pytest.raises(ValueError, match="no number to draw"):
        encoded([grid(np.zeros((0, 0)))], "svg", FigureLook(), ABOUT)
    with pytest.raises(ValueError, match="no picture"):
        encoded([ABOUT.model], "svg", FigureLook(), ABOUT)


def test_the_caption_says_what_the_numbers_are() -> None:
    svg = encoded([grid(numbers())], "svg", FigureLook(width=20), ABOUT, ["L1H3 · QK"]).decode()
    nodes = [node for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]
    text = " ".join("".join(node.itertext()) for node in nodes)
    for said in ("QK circuit, bilinear: x_i W_QK x_jᵀ", "row = query", "demo, float32 on cpu", "“The”", "bos on",
                 "weights processed", "a = b ±1e-07", "L1H3 · QK", "·capital"):  # fmt: skip
        assert said in text


@pytest.mark.parametrize("form", FORMS)
def test_the_same_bytes_each_time_whatever_the_user_has_set(form: str) -> None:
    result = grid(numbers())
    first = encoded([result], form, FigureLook(), ABOUT)
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "x", "axes.facecolor": "red", "text.usetex": False}):
        assert encoded([result], form, FigureLook(), ABOUT) == first
        assert matplotlib.rcParams["font.size"] == 30, "and it stays as it was"
    year = re.search(rb"20[2-9]\d-\d\d-\d\d|CreationDate", first)
    assert year is None


def test_the_size_is_in_centimetres() -> None:
    svg = encoded([grid(numbers())], "svg", FigureLook(width=10, height=5), ABOUT).decode()
    root = ElementTree.fromstring(svg)
    assert [float(root.attrib[side].removesuffix("pt")) / 72 * 2.54 for side in ("width", "height")] == pytest.approx(
        [10, 5], abs=0.01)  # fmt: skip


def test_a_large_matrix_is_one_picture_inside() -> None:
    large = replace(grid(np.ones((2, 2))), values=frozen(np.ones((200, 200), dtype=np.float32)),
                    rows=Axis("query", ("a",) * 200), cols=Axis("key", ("b",) * 200))  # fmt: skip
    assert len(encoded([large], "svg", FigureLook(), ABOUT)) < 200_000


def test_nothing_that_a_terminal_obeys_and_no_mathematics_in_labels() -> None:
    svg = encoded([grid(numbers(7, 7))], "svg", FigureLook(width=20, height=20), ABOUT).decode()
    assert "\x1b" not in svg
    assert "$x$" in svg


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ("", FigureLook()),
        ("dark 16x6 cm", FigureLook("dark", 16, 6)),
        ("8.5 × 6 numbers", FigureLook(width=8.5, height=6, numbers="numbers")),
        ("L0H1, L2H3 plain", FigureLook(numbers="plain", heads=((0, 1), (2, 3)))),
    ],
)
def test_how_a_figure_is_asked_for(text: str, look: FigureLook) -> None:
    assert read(text) == look
    assert read(str(look)) == look


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pink", "“pink” says nothing of a figure: write white 12x9 cm numbers"),
        ("200x9", "200x9: a side is 3 to 60 cm long"),
        (" ".join(f"L0H{at}" for at in range(13)), "13 heads do not fit into one row: 12 at most"),
    ],
)
def test_what_cannot_be_says_why(text: str, why: str) -> None:
    problem = read(text)
    assert isinstance(problem, str)
    assert problem.startswith(why)


def test_without_matplotlib_the_sentence_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Missing, match=r"pip install 'circuit-tui\[figures\]'"):
        encoded([grid(numbers())], "svg", FigureLook(), ABOUT)


# --- without a screen ---


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("figures") / "tiny")


def test_export_writes_a_figure(gpt2: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    figure, data = tmp_path / "a.svg", tmp_path / "a.csv"
    asked = ("pattern", "--prompt", "the capital of France", "--figure", str(figure))
    assert run(gpt2, *asked, "--head", "L1H2", "--out", str(data)) == 0
    assert capfd.readouterr().out == ""
    assert "attention pattern" in figure.read_text()
    assert data.read_text().startswith("L1H2 query")
    row = tmp_path / "row.pdf"
    assert run(gpt2, *asked[:-1], str(row), "--figure-as", "dark 16x6 L0H0, L1H1") == 0
    assert row.read_bytes().startswith(b"%PDF")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("--figure", "a.gif"), 2, "a figure is one of .svg, .png, .pdf"),
        (("--figure", "/nowhere/a.svg"), 2, "there is no such folder"),
        (("--figure-as", "dark"), 2, "--figure-as needs --figure FILE"),
        (("--figure", "a.svg", "--figure-as", "mauve"), 2, "“mauve” says nothing of a figure"),
        (("--figure", "a.svg", "--figure-as", "L9H9"), 1, "9"),
    ],
)
def test_export_says_what_is_wrong_with_a_figure(
    asked: tuple[str, ...], code: int, said: str, gpt2: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(gpt2, "pattern", "--prompt", "a", "--head", "L0H0", *asked) == code
    assert said in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_export_without_matplotlib(
    gpt2: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code = run(gpt2, "pattern", "--prompt", "a", "--head", "L0H0", "--figure", str(tmp_path / "a.svg"))
    assert code == 1
    assert "pip install 'circuit-tui[figures]'" in capfd.readouterr().err


def test_matplotlib_is_imported_only_when_something_is_drawn() -> None:
    code = "import sys, tui.app, tui.figures, tui.outbox, tui.copying; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
