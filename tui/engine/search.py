"""Which heads tie pairs of tokens together: pairs by their words, and all heads ranked by them. Worker thread only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ..circuits import fold, ov, qk
from ..circuits import search as circuit
from ..circuits.basis import read, slices, written
from ..circuits.errors import Refusal
from ..models.errors import ModelError
from ..models.tokens import Tokenizer
from ..results import Axis, Grid, Header, Pairs, Scalar, frozen, head_name
from ..text import visible
from . import words
from .bench import Context
from .grids import write_details
from .jobs import FindPairs, HeadAt, PairBlock, PairRows, PairSearch
from .opened import OpenModel
from .vocabulary import qk_path, refuse

FORM = "Write France>Paris, king>queen: one word on each side of >, pairs separated by commas; #17 is a token id."
HELD = 256 << 20
"""Bytes of rows that one pass over the vocabulary works on: beyond (some hundred large heads and many pairs), another
pass."""
Lanes = list[tuple[list[int], circuit.Rows]]
"""Rows of heads that one product takes, with the heads' places among all heads."""
_ARROW = re.compile(r"[>→]")
_ID = re.compile(r"#([0-9]{1,99})")


def find_pairs(job: FindPairs, bench: OpenModel, ctx: Context) -> Pairs:
    ids = []
    for part in filter(None, (part.strip() for part in job.text.split(","))):
        sides = [side.strip() for side in _ARROW.split(part)]
        if len(sides) == 1:
            raise ModelError(f'"{part}" is no pair: there is no > in it.', FORM)
        if len(sides) > 2:
            raise ModelError(f'"{part}" has more than one >.', FORM)
        if not all(sides):
            raise ModelError(f'"{part}" has nothing {"before" if not sides[0] else "after"} the >.', FORM)
        first, second = (_token(bench.live.tokens, side) for side in sides)
        ids.append((first, second))
    if not ids:
        raise ModelError("There is no pair.", FORM)
    pairs = tuple(dict.fromkeys(ids))
    texts = [bench.texts(pair) for pair in pairs]
    return Pairs(pairs, tuple((first, second) for first, second in texts))


def _token(tokens: Tokenizer, word: str) -> int:
    """ModelError, with the split of a word that is several tokens, for what is no one token."""
    if match := _ID.fullmatch(word):
        token = int(match[1])
        tokens.text(token)
        return token
    return tokens.single(word)


def pair_search(job: PairSearch, bench: OpenModel, ctx: Context) -> Grid:
    """All heads at once, block by block of the vocabulary; what there is so far stands against the tokens so far."""
    refuse(bench, job.circuit, job.basis, None, job.offset)
    if job.circuit == "ov":
        bench.need("one_vocabulary")
    if not job.pairs:
        raise Refusal("There is no pair to search heads for.", FORM)
    bench.index([token for pair in job.pairs for token in pair])
    wanted, info = circuit.entries_of(job.pairs), bench.info
    first = 1 if job.basis == "effective" else 0
    heads = [(layer, head) for layer in range(first, info.n_layers) for head in range(info.n_heads)]
    each = max(1, HELD // (4 * info.d_model * len(wanted.tokens)))
    groups = [tuple(heads[at : at + each]) for at in range(0, len(heads), each)]
    z = np.full((info.n_layers * info.n_heads, len(wanted.ids)), np.nan)
    rank = z.copy()
    done, total = 0, len(groups) * info.d_vocab
    blocks = [PairBlock(job, group, rows.start, rows.stop) for group in groups for rows in _slices(job, bench)]
    taken: list[circuit.Taken] = []
    for block, found in zip(blocks, ctx.each(blocks), strict=True):
        lanes: Lanes = ctx.get(PairRows(job, block.heads))
        read = [circuit.Block(count, *map(torch.tensor, arrays)) for count, *arrays in found]
        taken = [so_far.add(new) for so_far, new in zip(taken, read, strict=True)] if block.start else [
            circuit.Taken.first(new) for new in read
        ]  # fmt: skip
        done += read[0].count
        ctx.progress("pair search", done, total)
        for (places, rows), so_far in zip(lanes, taken, strict=True):
            standing = so_far.standing(rows.values, wanted)
            z[places], rank[places] = standing.z.numpy(), standing.rank.numpy()
        if done < total:
            ctx.partial(_table(job, bench, z, rank, min(block.stop, info.d_vocab)))
    return _table(job, bench, z, rank, None)


def pair_rows(job: PairRows, bench: OpenModel, ctx: Context) -> Lanes:
    return list(_lanes(job.of, bench, job.heads, circuit.entries_of(job.of.pairs), ctx))


def pair_block(job: PairBlock, bench: OpenModel, ctx: Context) -> tuple[tuple[int | np.ndarray, ...], ...]:
    lanes: Lanes = ctx.get(PairRows(job.of, job.heads))
    of, where = job.of, slice(job.start, job.stop)
    if of.circuit == "ov":
        x = bench.unembedding(of.weights).W_U[:, where].mT
    else:
        norm = fold.bare(bench.live.head(0, 0).norm)
        x = read(written(bench.ends, of.basis, where), of.basis, norm, False)
    out: list[tuple[int | np.ndarray, ...]] = []
    for _, rows in lanes:
        ctx.check()
        found = rows.against(x, job.start)
        out.append((found.count, found.mean.numpy(), found.squares.numpy(), found.larger.numpy()))
    return tuple(out)


def _lanes(
    job: PairSearch, bench: OpenModel, heads: Sequence[HeadAt], wanted: circuit.Entries, ctx: Context
) -> Iterator[tuple[list[int], circuit.Rows]]:
    ends, processed, n_heads = bench.ends, job.weights == "processed", bench.info.n_heads
    stream = written(ends, job.basis, bench.index(wanted.tokens))
    if job.circuit == "ov":
        unembed = bench.unembedding(job.weights)
        partners = unembed.W_U[:, bench.index(wanted.ids)].mT
    else:
        norm = fold.bare(bench.live.head(0, 0).norm)
        partners = read(written(ends, job.basis, bench.index(wanted.ids)), job.basis, norm, False)
    places: list[int] = []
    rows: list[Tensor] = []
    key_head, reader = None, None
    for layer, index in heads:
        ctx.check()
        head = bench.head(layer, index, job.weights)
        x = read(stream, job.basis, head.norm, processed)
        if job.circuit == "ov":
            u, own = unembed.reading(ov.write(head, x)), None
        else:
            u = qk.queries(head, x, "bilinear", job.offset)
            folded = bench.head(layer, index, "processed")
            own = circuit.key_reader(bench.live.head(layer, index), folded, job.basis, processed)
            if head.k_norm is None:
                u, own = circuit.key_rows(own, u), None
        shared = None if own is None else (layer, index * bench.info.n_key_value_heads // n_heads)
        if places and (shared != key_head or (len(places) + 1) * len(wanted.tokens) > circuit.ROWS):
            yield places, circuit.Rows(torch.stack(rows), partners, wanted, reader)
            places, rows = [], []
        places.append(layer * n_heads + index)
        rows.append(u)
        key_head, reader = shared, own
    yield places, circuit.Rows(torch.stack(rows), partners, wanted, reader)


def _slices(job: PairSearch, bench: OpenModel) -> list[slice]:
    """The blocks of the vocabulary: one X for the heads of all layers."""
    of_ov = job.circuit == "ov"
    return slices(bench.info.d_vocab if of_ov else len(bench.ends.W_E), "embed" if of_ov else job.basis)


def _table(job: PairSearch, bench: OpenModel, z: np.ndarray, rank: np.ndarray, seen: int | None) -> Grid:
    """Best first. ``seen``: tokens of the vocabulary so far, where this is not the whole answer."""
    n = len(job.pairs)
    mean_z, mean_rank = z[:, :n].mean(1), rank[:, :n].mean(1)
    columns = [mean_z, z[:, :n].min(1), mean_rank]
    names = ["mean z", "worst z", "mean rank"]
    words_of = _names(bench, job.pairs)
    for index, (first, second) in enumerate(job.pairs):
        for entry, (one, other) in ((index, (first, second)), (n + index, (second, first))):
            columns += [z[:, entry], rank[:, entry]]
            names += [f"{what} {words_of[one]}→{words_of[other]}" for what in ("z", "rank")]
    order = circuit.order(torch.from_numpy(mean_z), torch.from_numpy(mean_rank)).tolist()
    labels = [head_name(*divmod(place, bench.info.n_heads)) for place in order]
    return Grid(
        _header(job, bench, seen),
        frozen(np.stack(columns, 1)[order]),
        Axis("head", tuple(labels)),
        Axis("column", tuple(names)),
        diverging=True,
    )


def _names(bench: OpenModel, pairs: Sequence[tuple[int, int]]) -> dict[int, str]:
    """Each token as it is typed, without blanks around it; with its id where two tokens would read the same."""
    ids = list(dict.fromkeys(token for pair in pairs for token in pair))
    texts = [text.strip() or visible(text) for text in bench.texts(ids)]
    return {i: text if texts.count(text) == 1 else f"{text}#{i}" for i, text in zip(ids, texts, strict=True)}


def _header(job: PairSearch, bench: OpenModel, seen: int | None) -> Header:
    info, of_qk = bench.info, job.circuit == "qk"
    rotary = of_qk and info.positions == "rotary"
    offset = job.offset if rotary else None
    row, column = ("query", "key") if of_qk else ("source", "output")
    explanation = f"row = head, best first; z, rank: how far a pair stands out in its {row}'s row over all {column}s"
    details: dict[str, Scalar] = {}
    if not of_qk:
        post = any(bench.live.head(layer, 0).post_w is not None for layer in range(info.n_layers))
        details = write_details("head" if post else "", "W_O", job.weights == "processed", bench)
    if job.basis == "effective":
        details["note"] = "heads of layer 0 come before MLP 0: basis effective has no numbers for them"
    if seen is not None:
        details["vocabulary"] = f"the first {seen:,} of {info.d_vocab:,} tokens so far"
    formula = words.scores_formula(qk_path(bench.live.head(0, 0)), False, at=(str(offset or ""), ""))
    return words.header(
        "search",
        f"pair search, {job.circuit.upper()} circuit",
        words.normalised(formula if of_qk else "x_i W_V W_O W_U", "zscore", "the whole vocabulary"),
        explanation=f"{explanation}; {words.ROTARY_LINE}" if rotary else explanation,
        convention=words.convention(
            info,
            circuit=job.circuit,
            weights=job.weights,
            basis=job.basis,
            offset=offset,
            pairs=", ".join(f"#{first}>#{second}" for first, second in job.pairs),
            sorted="by mean z of the pairs as typed",
        ),
        details=details,
        partial=seen is not None,
    )
