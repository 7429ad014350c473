"""A large matrix that is read when it is used: rows by themselves, and all of it only for what needs all of it.

One row of an embedding of 128,000 tokens is 16 kB of a gigabyte. ``Late`` stands where a Tensor stands: rows that are
picked from it are read alone; any other use reads it whole, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Rows = Callable[[Any], Tensor]
"""Ids or a slice → those rows ``[n, width]`` in float32 on the model's device."""


class Source:
    """The matrix behind it, by rows; both of its ``Late`` forms share it."""

    def __init__(self, rows: Rows, shape: tuple[int, int], device: torch.device) -> None:
        self.shape, self.device = shape, device
        self._rows = rows
        self._whole: Tensor | None = None

    def rows(self, at: Any) -> Tensor:
        """Some of them."""
        return self._rows(at) if self._whole is None else self._whole[at]

    @property
    def whole(self) -> Tensor:
        """All of them, kept."""
        if self._whole is None:
            with torch.inference_mode(False), torch.no_grad():  # gradients may flow through it, whoever asks first
                self._whole = self._rows(slice(None))
        return self._whole


class Late:
    """``[rows, width]``, or turned round ``[width, rows]``, as a Tensor that is not there yet."""

    dtype = torch.float32
    ndim = 2

    def __init__(self, source: Source, turned: bool = False) -> None:
        self._source, self._turned = source, turned

    @property
    def tensor(self) -> Tensor:
        """All of it."""
        whole = self._source.whole
        return whole.T if self._turned else whole

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self._source.shape[::-1] if self._turned else self._source.shape)

    @property
    def device(self) -> torch.device:
        return self._source.device

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def nbytes(self) -> int:
        return 4 * self.shape[0] * self.shape[1]

    @property
    def mT(self) -> Late:
        return Late(self._source, not self._turned)

    T = mT

    def is_contiguous(self) -> bool:
        return not self._turned

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: Any) -> Tensor:
        if not self._turned and _picks(at):
            return self._source.rows(at)
        if self._turned and isinstance(at, tuple) and len(at) == 2 and at[0] == slice(None) and _picks(at[1], 1):
            return self._source.rows(at[1]).T
        return self.tensor[at]

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.tensor @ other

    def __rmatmul__(self, other: Tensor) -> Tensor:
        return other @ self.tensor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tensor, name)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What torch does where one of these is among its arguments: the same with the tensor."""
        there = [arg.tensor if isinstance(arg, Late) else arg for arg in args]
        named = {name: arg.tensor if isinstance(arg, Late) else arg for name, arg in (kwargs or {}).items()}
        return function(*there, **named)


def _picks(at: Any, most: int = 2) -> bool:
    """Whether it picks rows, and not all of them."""
    if isinstance(at, Tensor):
        return 1 <= at.ndim <= most and at.dtype == torch.int64
    return isinstance(at, slice) and at != slice(None)
