"""The open model as answers read it: weights folded once, both ends, forward passes, token axes. Worker thread only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from ..circuits import basis, fold
from ..circuits.errors import Refusal
from ..circuits.tensors import MLP, Ends, HeadWeights, Norm, Trace
from ..label import in_bytes
from ..models.fitting import SMALL, forward_bytes, free_on
from ..models.live import LiveModel
from ..models.unloaded import StoredModel
from ..results import Axis, ModelInfo, Tokens, head_name
from ..text import in_words
from .bench import Context
from .jobs import Run, Tokenize, Weights, Words
from .jobs.changes import set_by
from .jobs.parts import Forward
from .trouble import MEMORY_HINT

KEPT = 64 << 20
"""Bytes of patterns up to which one forward pass keeps those of all layers."""
LAID_OUT = 1 << 30
"""Bytes up to which ``W_U`` is copied into the layout that is fast to multiply with."""


def refuse_set(run: Run, points: Collection[str], layer: int, index: int | None, what: str) -> None:
    """Refuse what follows from weights and stream where a change has set it to something else."""
    if (change := set_by(run, points, layer, index)) is not None:
        raise Refusal(f"{change} is in force: {what}.", "d shows the clean model.")


def place(run: Run, position: int) -> int:
    """A position of the prompt, counted from its end where it is negative."""
    n = len(run.ids)
    if not -n <= position < n:
        raise Refusal(f"Position {position} is not in the prompt: its positions are 0 to {n - 1}.")
    return position % n


def refuse_long(info: ModelInfo, n: int, device: torch.device) -> None:
    """Refuse a prompt of n tokens whose forward pass is larger than the memory that is free."""
    wanted = forward_bytes(n, info.n_layers, info.n_heads, info.d_model, info.d_vocab)
    if wanted <= SMALL or (free := free_on(device)) is None or wanted <= free:
        return
    raise Refusal(
        f"A forward pass of {n:,} tokens takes about {in_bytes(wanted)}, and {in_bytes(free)} are free.", MEMORY_HINT
    )


class OpenModel:
    """One model and what is derived from it once."""

    def __init__(self) -> None:
        self._live: LiveModel | StoredModel | None = None
        self._ends: Ends | None = None
        self._W_U: Tensor | None = None
        # One head has several jobs in a row (QK, its z, OV, the row): fold it once. 10 MB a head of 13 B.
        self._folded = lru_cache(maxsize=4)(lambda layer, head: fold.fold_head(self.live.head(layer, head)))
        self._unembeddings: dict[Weights, fold.Unembedding] = {}
        self._mean_column: Tensor | None = None

    def take(self, live: LiveModel | StoredModel) -> None:
        """Open a model; there is none when this is called."""
        self._live = live

    def close(self) -> None:
        """Let go of the model."""
        if self._live is not None:
            self._live.close()
        self._live, self._ends, self._mean_column = None, None, None
        self.free()

    def free(self) -> None:
        """Give back what can be had again."""
        self._unembeddings.clear()
        self._W_U = None
        self._folded.cache_clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def live(self) -> LiveModel | StoredModel:
        if self._live is None:
            raise Refusal("No model is open.", "Open one first.")
        return self._live

    @property
    def info(self) -> ModelInfo:
        return self.live.info

    @property
    def ends(self) -> Ends:
        if self._ends is None:
            self._ends = self.live.ends
        return self._ends

    def need(self, capability: str) -> None:
        """Refuse, with the reason found at load, what this model does not have."""
        reason = getattr(self.info.capabilities, capability)
        if reason:
            raise Refusal(reason)

    def head(self, layer: int, head: int, weights: Weights) -> HeadWeights:
        info = self.info
        if not (0 <= layer < info.n_layers and 0 <= head < info.n_heads):
            last = head_name(info.n_layers - 1, info.n_heads - 1)
            raise Refusal(f"{head_name(layer, head)} does not exist: the heads of {info.name} are L0H0 to {last}.")
        return self._folded(layer, head) if weights == "processed" else self.live.head(layer, head)

    def writers(self, layer: int) -> Sequence[Tensor]:
        """Every head's ``W_O [d_head, d_model]`` of a layer, as stored."""
        return [self.live.head(layer, head).W_O for head in range(self.info.n_heads)]

    def mlp(self, layer: int) -> MLP:
        """A layer's MLP neuron by neuron; refuses where there is none."""
        self.need("neurons")
        if not 0 <= layer < self.info.n_layers:
            raise Refusal(f"Layer {layer} does not exist: {self.info.name} has {self.info.n_layers} layers.")
        mlp = self.live.mlp(layer)
        assert mlp is not None
        return mlp

    def unembedding(self, weights: Weights) -> fold.Unembedding:
        self.need("outputs")
        if weights not in self._unembeddings:
            if self._W_U is None:
                # An embedding that is used at both ends is stored by token. By d_model one full row is twice as
                # fast on a CPU (9 ms instead of 17 on GPT-2), for one copy of W_U.
                stored = self.ends.W_U
                # One that is not read yet lies by row in its file, and one copy of it is enough.
                small = stored.device.type == "cpu" and stored.nbytes <= LAID_OUT and isinstance(stored, Tensor)
                self._W_U = stored.contiguous() if small else stored
            ends = replace(self.ends, W_U=self._W_U)
            made = fold.unembedding(ends, weights == "processed")
            by_token = self.ends.W_U.mT
            self._unembeddings[weights] = replace(made, by_token=by_token if by_token.is_contiguous() else None)
        return self._unembeddings[weights]

    @property
    def mean_column(self) -> Tensor | None:
        """``[d_model]``: the mean column of ``W_U``; None where logits are soft-capped, which are not centred.

        By itself: a processed unembedding lays out a copy of ``W_U`` as well.
        """
        if self._mean_column is None and not self.ends.logit_cap:
            self._mean_column = self.ends.W_U.mean(1)
        return self._mean_column

    def final_norm(self, weights: Weights) -> Norm:
        norm = self.ends.final_norm
        return fold.bare(norm) if weights == "processed" else norm

    def trace(self, run: Run, layer: int | None, ctx: Context) -> Trace:
        """The forward pass, with the layer's pattern if one is named."""
        self.index(run.ids)
        if layer is not None and not 0 <= layer < self.info.n_layers:
            raise Refusal(f"Layer {layer} does not exist: {self.info.name} has {self.info.n_layers} layers.")
        refuse_long(info=self.info, n=len(run.ids), device=self.live.device)
        trace: Trace = ctx.get(Forward(run, None if self.keeps_all(run) else layer))
        return trace

    def keeps_all(self, run: Run) -> bool:
        """Whether one forward pass keeps the patterns of all layers: they are small together."""
        return self.info.n_layers * self.info.n_heads * len(run.ids) ** 2 * 4 <= KEPT

    def index(self, ids: Sequence[int]) -> Tensor:
        """Token ids as an index; refuses what is not in the vocabulary."""
        outside = [i for i in ids if not 0 <= i < self.info.d_vocab]
        if outside:
            raise Refusal(f"Token id {outside[0]} is not in the vocabulary (0 to {self.info.d_vocab - 1}).")
        return basis.as_index(tuple(ids), self.ends.W_E)

    def texts(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each token as it reads in a text."""
        return self.live.tokens.named(ids).texts

    def axis(self, name: str, ids: tuple[int, ...] | None) -> Axis:
        """An axis of tokens; None: the whole vocabulary."""
        if ids is None:
            return Axis(name, self.live.tokens.all_texts, tuple(range(self.info.d_vocab)))
        return Axis(name, self.texts(ids), ids)

    def output_index(self, ids: Sequence[int]) -> Tensor:
        """Ids of outputs as an index into the columns of ``W_U``; refuses what the model does not put out."""
        self.need("outputs")
        if not self.info.classes:
            return self.index(ids)
        outside = [i for i in ids if not 0 <= i < len(self.info.classes)]
        if outside:
            raise Refusal(f"Output {outside[0]} does not exist: this model's are 0 to {len(self.info.classes) - 1}.")
        return basis.as_index(tuple(ids), self.ends.W_E)

    def output_texts(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each output as it reads in a text, or a class's name."""
        return self.live.outputs.named(ids).texts

    def output_words(self, ids: Sequence[int]) -> list[str]:
        """Each output as a sentence can name it."""
        if self.info.classes:
            return list(self.output_texts(ids))
        tokens = self.live.tokens.named(ids)
        return [in_words(text, special) for text, special in zip(tokens.texts, tokens.special, strict=True)]

    def output_columns(self, ids: tuple[int, ...] | None) -> tuple[tuple[int, ...], Axis]:
        """Ids and axis of the columns for tokens that are asked for (None: all). Where outputs are classes of their own
        they are the columns, all of them, whatever the tokens."""
        if self.info.classes:
            return tuple(range(len(self.info.classes))), Axis("output", self.info.classes)
        return tuple(range(self.info.d_vocab)) if ids is None else ids, self.axis("output", ids)

    def of_outputs(self, sentence: str) -> str:
        """What is said of the outputs as tokens, said of classes where they are that."""
        if not self.info.classes:
            return sentence
        sentence = sentence.replace("next token", "token").replace("vocabulary", "classes")
        return sentence.replace("tokens", "classes").replace("token", "class")

    def positions(self, name: str, count: int) -> Axis:
        return Axis(f"{name} position", tuple(map(str, range(count))))


def tokenize(job: Tokenize, bench: OpenModel, ctx: Context) -> Tokens:
    return bench.live.tokens.encode(job.text, job.bos, job.chat)


def words(job: Words, bench: OpenModel, ctx: Context) -> Tokens:
    return bench.live.tokens.words(job.text, job.kind)
