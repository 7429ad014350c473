"""What a run says of an answer: the numbers that interventions change.

All are read at one position from the model's own logits, after a soft cap where it has one. Several answers (or
distractors) are averaged: their logits, log-probabilities, probabilities, ranks. Source: definitions.md,
"Interventions".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

METRICS = ("logit difference", "log-probability", "probability", "rank", "KL")
LOSS = "loss"
"""Mean ``−log p`` of tokens that go on after the prompt, in nats: of a text, where the others are of a position."""
DIFFERENTIABLE = ("logit difference", "log-probability", "probability", "KL", LOSS)


def measure(
    metric: str, logits: Tensor, answers: Sequence[int], distractors: Sequence[int], clean: Tensor | None = None
) -> Tensor:
    """``logits [b, outputs]`` → ``[b]``. ``clean [outputs]``: the logits that KL compares with, in nats:
    ``KL(clean ‖ changed)``. Without distractors ``logit difference`` is the answer's logit minus the mean logit."""
    if metric == "KL":
        assert clean is not None, "KL compares with the clean run"
        own, changed = clean.log_softmax(-1), logits.log_softmax(-1)
        return (own.exp() * (own - changed)).sum(-1)
    chosen = logits[:, list(answers)]
    if metric == "logit difference":
        return chosen.mean(-1) - (logits[:, list(distractors)] if distractors else logits).mean(-1)
    if metric == "log-probability":
        return logits.log_softmax(-1)[:, list(answers)].mean(-1)
    if metric == "probability":
        return logits.softmax(-1)[:, list(answers)].mean(-1)
    assert metric == "rank", f"no such metric: {metric}"
    ranks = [1 + (logits > chosen[:, at : at + 1]).sum(-1) for at in range(len(answers))]
    return torch.stack(ranks, -1).float().mean(-1)


def every(logits: Tensor, answers: Tensor, distractors: Tensor, clean: Tensor) -> Tensor:
    """All ``METRICS`` of ``logits [b, outputs]``, each row with its own ``answers [b, a]`` and ``distractors [b, d]``
    (d may be 0) → ``[b, metrics]``; ``clean [b or 1, outputs]``."""
    logs, chosen = logits.log_softmax(-1), logits.gather(-1, answers)
    others = logits.gather(-1, distractors) if distractors.shape[1] else logits
    own, chances = clean.log_softmax(-1), logs.gather(-1, answers)
    ranks = 1 + torch.stack([(logits > chosen[:, at, None]).sum(-1) for at in range(answers.shape[1])], -1).float()
    divergence = (own.exp() * (own - logs)).sum(-1)
    means = (chances.mean(-1), chances.exp().mean(-1), ranks.mean(-1))
    return torch.stack([chosen.mean(-1) - others.mean(-1), *means, divergence], -1)


def recovered(value: Tensor, worst: float, best: float) -> Tensor:
    """``(value − worst) / (best − worst)``: 0 where nothing is recovered, 1 where all is."""
    return (value - worst) / (best - worst)
