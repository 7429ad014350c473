"""Every page in its modes: selections on the demo model, settled as the app would settle them but without a screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.circuits.desk import Desk
from tui import needs, pages, prompts
from tui.declared import Say
from tui.engine import jobs
from tui.pages.attribution import AttributionLook
from tui.pages.chosen import ChosenLook
from tui.pages.circuit import CircuitLook, Half, OwnTokens
from tui.pages.compose import ComposeLook
from tui.pages.knockout import KnockoutLook
from tui.pages.lens import LensLook
from tui.pages.loss import given
from tui.pages.patching import PatchingLook
from tui.pages.paths import PathsHow, PathsLook
from tui.pages.pattern import PatternLook
from tui.pages.residual import FlowLook, PartsLook
from tui.pages.scores import ScoresLook
from tui.pages.states import StateRows
from tui.pages.why import AgainstLook
from tui.results import Pairs
from tui.selection import Entry, File, Look, Pair, Selection, settle, with_file

PROMPT, OTHER, ROUND = "robin silk volcano robin", "robin silk volcano silk", "silk robin volcano robin"
PATTERN, CIRCUIT, FLOW = PatternLook, CircuitLook, FlowLook
VIRTUAL = ComposeLook("k", "from", (0, 2), True)
PARTS = ChosenLook(("L0H0", "L0H2", "L1H0", "L2H2"))
EDGES = replace(PARTS, edges=(("L0H2", "L2H2.k"), ("L2H2", "logits")))

Case = tuple[str, tuple[Look, ...], dict[str, Any]]
CASES: dict[str, Case] = {
    "pattern": ("pattern", (), {}),
    "pattern, scores": ("pattern", (PATTERN("scores"),), {}),
    "pattern, value-weighted": ("pattern", (PATTERN("value-weighted"),), {}),
    "pattern, all heads": ("pattern", (PATTERN("all heads"),), {}),
    "pattern, without a BOS": ("pattern", (), {"bos": False}),
    "pattern over a file": ("pattern", (), {"file": "induction"}),
    "pattern over a file, spread": ("pattern", (PATTERN(statistic="spread"),), {"file": "induction"}),
    "qk": ("qk", (), {}),
    "qk, raw": ("qk", (), {"weights": "raw"}),
    "qk, own tokens": ("qk", (OwnTokens("France, Paris, king"),), {}),
    "qk, zscore over the vocabulary": ("qk", (CIRCUIT(normalize="zscore", baseline="vocabulary"),), {}),
    "qk, softmax": ("qk", (CIRCUIT(form="scaled", normalize="softmax"),), {}),
    "qk, normed": ("qk", (CIRCUIT(basis="normed", normalize="centered"),), {"layer": 2}),
    "qk, effective": ("qk", (CIRCUIT(basis="effective"),), {"layer": 2}),
    "qk, prompt": ("qk", (CIRCUIT(form="scaled", basis="prompt"),), {"layer": 2}),
    "qk, raw, prompt": ("qk", (CIRCUIT(basis="prompt"),), {"layer": 2, "weights": "raw"}),
    "qk, positions": ("qk", (CIRCUIT(term="position-position"),), {}),
    "qk, token and position": ("qk", (CIRCUIT(term="token-position"),), {}),
    "ov": ("ov", (), {}),
    "ov, raw, effective": ("ov", (CIRCUIT(basis="effective", normalize="zscore"),), {"layer": 1, "weights": "raw"}),
    "ov, prompt": ("ov", (CIRCUIT(basis="prompt"),), {"layer": 1}),
    "ov, over the vocabulary": ("ov", (CIRCUIT(normalize="centered", baseline="vocabulary"),), {}),
    "direct path": ("ov", (), {"head": None}),
    "residual": ("residual", (), {}),
    "residual, raw": ("residual", (), {"weights": "raw"}),
    "residual, effect": ("residual", (FLOW("answer"),), {}),
    "residual, states": ("residual", (FLOW("states"), StateRows(True)), {}),
    "residual, cosine with the final one": ("residual", (FLOW("final"),), {}),
    "residual, cosines between writes": ("residual", (FLOW("writes"),), {"row": 2}),
    "lens": ("lens", (), {}),
    "lens, answer": ("lens", (LensLook("answer"), StateRows(True)), {}),
    "lens, rank": ("lens", (LensLook("rank"),), {}),
    "lens, entropy": ("lens", (LensLook("entropy"),), {}),
    "lens, kl": ("lens", (LensLook("kl"),), {}),
    "lens over a file": ("lens", (), {"file": "induction"}),
    "attribution": ("attribution", (), {}),
    "attribution, component": ("attribution", (AttributionLook("component"),), {"row": 2}),
    "attribution, neurons": ("attribution", (AttributionLook("neuron"),), {"layer": 3}),
    "attribution over a file": ("attribution", (), {"file": "induction"}),
    "heads": ("heads", (), {}),
    "heads, on the prompt": ("heads", (ScoresLook("entropy", "prompt"),), {}),
    "heads, over the file": ("heads", (ScoresLook("induction", "file"),), {"file": "induction"}),
    "heads, copying": ("heads", (ScoresLook("copying"),), {}),
    "heads, pairs in QK": ("heads", (ScoresLook("pairs, QK", pairs=Pairs(((257, 258), (300, 301)), ())),), {}),
    "heads, pairs in OV": ("heads", (ScoresLook("pairs, OV", pairs=Pairs(((257, 258),), ())),), {}),
    "compose, query": ("compose", (ComposeLook("q"),), {"layer": 2, "head": 2}),
    "compose, key": ("compose", (), {"layer": 2, "head": 2}),
    "compose, value": ("compose", (ComposeLook("v"),), {"layer": 2, "head": 2}),
    "compose, into": ("compose", (ComposeLook("k", "into"),), {"layer": 0, "head": 2}),
    "compose, virtual QK": ("compose", (VIRTUAL,), {"layer": 2, "head": 2}),
    "compose, virtual QK, query": ("compose", (replace(VIRTUAL, kind="q"),), {"layer": 2, "head": 2}),
    "compose, virtual OV": ("compose", (replace(VIRTUAL, kind="v"),), {"layer": 2, "head": 2}),
    "patching": ("patching", (), {"pair": OTHER}),
    "patching, noise": ("patching", (PatchingLook(toward="noise", measured="probability"),), {"pair": OTHER}),
    "patching, keys here": ("patching", (PatchingLook("k by head", here=True),), {"pair": OTHER, "row": 3}),
    "patching, by position": ("patching", (PatchingLook("resid_pre by position"),), {"pair": OTHER}),
    "patching, heads and positions": ("patching", (PatchingLook("z by head and position"),), {"pair": OTHER}),
    "patching, attention": ("patching", (PatchingLook("attn_out by position", "KL"),), {"pair": OTHER}),
    "patching, neurons": ("patching", (PatchingLook("neurons of a layer"),), {"pair": OTHER, "layer": 3}),
    "patching, pattern": ("patching", (PatchingLook("pattern by head"),), {"pair": OTHER}),
    "patching, loss": ("patching", (PatchingLook(measured="loss"),), {"pair": OTHER, "continuation": "silk"}),
    "patching, values": ("patching", (PatchingLook("v by head"),), {"pair": ROUND}),
    "paths": ("paths", (), {"pair": OTHER}),
    "paths, key": ("paths", (PathsLook(part="L2H2", side="k"),), {"pair": ROUND}),
    "paths, query": ("paths", (PathsLook(part="L2H3", side="q"), PathsHow(measured="KL")), {"pair": ROUND}),
    "paths, value": ("paths", (PathsLook(part="L3H3", side="v"),), {"pair": ROUND}),
    "paths, MLP": ("paths", (PathsLook(part="L3.mlp"),), {"pair": ROUND}),
    "paths, ioi": ("paths", (PathsHow("ioi"),), {"pair": OTHER}),
    "sources": ("sources", (), {}),
    "why": ("why", (), {"layer": 2, "head": 2, "row": 3, "col": 2}),
    "why, less the mean": ("why", (AgainstLook("less the row's mean"),), {"layer": 2, "head": 2, "row": 3, "col": 2}),
    "why, by component": ("why", (PartsLook("component"), AgainstLook("less the marked key", 1)),
                          {"layer": 2, "head": 2, "row": 3, "col": 2}),
    "knockout": ("knockout", (), {}),
    "knockout, folded": ("knockout", (KnockoutLook("KL", "zero, value biases folded"),), {}),
    "knockout, mean": ("knockout", (KnockoutLook("probability", "mean"),), {"file": "induction", "one": True}),
    "knockout, loss": ("knockout", (KnockoutLook("loss"),), {"continuation": "silk volcano"}),
    "neurons": ("neurons", (), {"layer": 3}),
    "pairs": ("pairs", (Half("ov"),), {"layer": 0, "head": 2}),
    "pairs, QK": ("pairs", (Half("qk"),), {"layer": 0, "head": 0}),
    "svd": ("svd", (Half("ov"),), {"layer": 0, "head": 2}),
    "svd, QK, raw": ("svd", (Half("qk"),), {"layer": 1, "weights": "raw"}),
    "circuit": ("wiring", (PARTS,), {}),
    "circuit, paths": ("wiring", (PARTS,), {"pair": OTHER}),
    "circuit, its edges": ("wiring", (EDGES,), {"pair": OTHER}),
    "changed": ("attribution", (), {"stack": (jobs.Ablation("L0H0"), jobs.Ablation("L1.mlp", "scale", None, 0.5))}),
    "changed at places": ("residual", (), {"stack": (
        jobs.Ablation("L0H2", "zero, value biases folded", (2, 3)), jobs.Ablation("L1N17"), jobs.Ablation("L2.attn"))}),
    "changed, a layer": ("residual", (), {"stack": (jobs.Ablation("L2", positions=(4,)),)}),
    "dropped": ("pattern", (), {"stack": (jobs.CutEdge("L0H3", 4, 3, "drop"),), "layer": 2}),
    "cut": ("pattern", (), {"stack": (jobs.CutEdge("L0H2", 3, 2),), "layer": 1}),
    "changed, random tokens": ("heads", (), {"stack": (jobs.Ablation("L0H2"), jobs.Ablation("L0H3"))}),
    "steered": ("lens", (), {"stack": (
        jobs.AddVector(2, jobs.SteeringDirection("·France − ·Paris", "token", (257, 258)), 3.0, (4,)),)}),
    "steered, singular": ("lens", (), {"stack": (
        jobs.AddVector(2, jobs.SteeringDirection("L1H3 σ0", "singular", (1, 3, 0)), -1.5),)}),
}  # fmt: skip


def selection(desk: Desk, case: str) -> Selection:
    """What the app would show: the model open, text and lists looked up, all questions answered."""
    page, looks, how = CASES[case]
    source = jobs.Open(desk.key.folder, device="cpu", dtype="float32")
    how = dict(how)
    s = Selection(open=source, opened=source, model=desk.info, text=how.pop("text", PROMPT), page=page)
    if name := how.pop("file", ""):
        path = how.pop("path", name)
        s = with_file(s, File(str(path), prompts.read(path).rows, over=not how.pop("one", False)))
    pair, continuation, stack = how.pop("pair", None), how.pop("continuation", None), how.pop("stack", ())
    s = replace(s, pair=Pair(pair) if pair else s.pair, stack=tuple(map(Entry, stack)))
    s = s if continuation is None else given(s, continuation)
    at = how.pop("row", -1), how.pop("col", -1)
    s = settle(s.put(*looks, **how, arriving=at if max(at) >= 0 else None))
    s = answered(desk, s)
    return answered(desk, settle(s.put(*looks)))  # some choices are there once a file is


def answered(desk: Desk, s: Selection) -> Selection:
    """With everything that it asks for looked up."""
    page = pages.of(s)
    for _ in range(20):
        before = s
        wanted = [needs.tokenizing(s)] if s.tokens_of != needs.tokenizing(s) else [
            needs.preparing(s) if s.file is not None else None, needs.pairing(s),
            needs.after_pair(s), needs.likeliest(s),
            *(job for job in page.asks(s) if isinstance(job, jobs.Words | jobs.Tokenize)),
        ]  # fmt: skip
        for job in wanted:
            if job is not None:
                s = settle(pages.of(s).settled(needs.told(s, job, desk.get(job))))
        if s == before:
            return s
    raise AssertionError("the selection does not settle")


def shown(desk: Desk, case: str) -> tuple[Selection, jobs.Job]:
    """A selection and the job that it shows."""
    s = selection(desk, case)
    job = pages.of(s).shown(s)
    assert isinstance(job, jobs.Job), job
    return s, job


def said(answer: str | Say) -> str:
    """The command or the snippet; fails the test where there is a sentence instead."""
    assert isinstance(answer, str), answer
    return answer


