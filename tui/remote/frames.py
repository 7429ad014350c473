"""Bytes on the line: a small JSON header, then the raw bytes of its arrays.

A conversation begins with ``START``: what a login shell prints before it is skipped. A frame is ``HEAD`` (two letters,
the version of the protocol, the sizes of header and arrays), the header in JSON, whose ``arrays`` has dtype and shape
of each, the arrays one after another in the byte order of the dtype, and a line feed, so that a relay that waits for
whole lines (Slurm's) passes it on. Arrays are read into the memory in which they stay. Nothing is unpickled, and every
size is checked before memory is taken for it. Compression is ssh's matter.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
else:
    from ..later import numpy as np

PROTOCOL = 1
"""Raised whenever a frame or what is said in one means something else."""
START = b"\x02circuit-tui frames\x03\n"
HEAD = struct.Struct(">2sHIQ")
MARK, END = b"cT", b"\n"
MOST_HEADER, MOST_ARRAYS = 64 << 20, 8 << 30
"""Bytes of one frame."""
MOST_BEFORE = 1 << 20
"""Bytes that a login shell may print before the first frame."""
PIECE = 1 << 16
"""Bytes that are read or written at once, so that it is known how long the other side has been silent."""
_DTYPE = re.compile(r"[<>|](b1|[iu][1248]|f[248])")


class Ended(Exception):
    """The line is cut: there is nothing more to read or nobody who reads."""


class Garbled(Exception):
    """What came is no frame. ``str``: one sentence."""


class OtherVersion(Garbled):
    """A frame of another version of the protocol, ``version``."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the other side speaks version {version} of the protocol, and this side {PROTOCOL}")
        self.version = version


@dataclass(frozen=True)
class Frame:
    """What was said, and the arrays that belong to it."""

    header: dict[str, Any]
    arrays: tuple[np.ndarray, ...] = ()


class Reader:
    """Frames from a descriptor."""

    def __init__(self, descriptor: int, heard: Callable[[int], object] = lambda count: None) -> None:
        """``heard(bytes)`` is called whenever something came."""
        self._descriptor = descriptor
        self._heard = heard

    def find_start(self) -> bytes:
        """Skip what comes before the first frame. Returns it; Ended and Garbled have it as their second argument."""
        before = bytearray()
        while not before.endswith(START):
            if len(before) > MOST_BEFORE:
                raise Garbled("no frame in the first megabyte that came", bytes(before))
            # A byte at a time: what follows the start belongs to the frames. Banners are short.
            byte = os.read(self._descriptor, 1)
            if not byte:
                raise Ended("the line ended before the first frame", bytes(before))
            before += byte
        self._heard(len(before))
        return bytes(before[: -len(START)])

    def read(self) -> Frame:
        """The next frame. Ended: there is none; Garbled: what comes is none."""
        head = bytearray(HEAD.size)
        self._fill(memoryview(head))
        mark, version, header_size, arrays_size = HEAD.unpack(head)
        if mark != MARK:
            raise Garbled(f"found {bytes(head[:8])!r} in place of a frame")
        if version != PROTOCOL:
            raise OtherVersion(version)
        if header_size > MOST_HEADER or arrays_size > MOST_ARRAYS:
            raise Garbled(f"a frame of {header_size + arrays_size:,} bytes is larger than any can be")
        header = bytearray(header_size)
        self._fill(memoryview(header))
        said, forms = _header(header, arrays_size)
        try:
            arrays = tuple(np.empty(shape, dtype) for dtype, shape in forms)
        except (ValueError, MemoryError) as error:
            raise Garbled(f"there is no array like those of a frame ({error})") from None
        for array in arrays:
            if array.nbytes:
                self._fill(array.reshape(-1).view("u1").data)
            array.flags.writeable = False
        self._fill(memoryview(end := bytearray(len(END))))
        if end != END:
            raise Garbled(f"found {bytes(end)!r} where a frame should end")
        return Frame(said, arrays)

    def _fill(self, room: memoryview) -> None:
        at = 0
        while at < len(room):
            try:
                count = os.readv(self._descriptor, [room[at : at + PIECE]])
            except OSError as error:
                raise Ended(f"reading failed ({error.strerror})") from None
            if not count:
                raise Ended("the line ended" if not at else "the line ended within a frame")
            self._heard(count)
            at += count


def write(descriptor: int, header: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """One frame. Blocks while the line is full. Ended: nobody reads it; ValueError: it is larger than any can be."""
    laid = [np.ascontiguousarray(array) for array in arrays]
    # Not those of ``laid``: ascontiguousarray makes a row of a scalar.
    forms: list[tuple[str, list[int]]] = [(array.dtype.str, list(array.shape)) for array in arrays]
    text = json.dumps(header | {"arrays": forms}, ensure_ascii=False, separators=(",", ":"))
    data = text.encode("utf-8", "surrogatepass")
    total = sum(array.nbytes for array in laid)
    if len(data) > MOST_HEADER or total > MOST_ARRAYS:
        raise ValueError(f"{len(data) + total:,} bytes are more than fit into one frame")
    if bad := [dtype for dtype, _ in forms if not _DTYPE.fullmatch(dtype)]:
        raise ValueError(f"no array of {bad[0]} goes into a frame")
    put(descriptor, HEAD.pack(MARK, PROTOCOL, len(data), total) + data)
    for array in laid:
        if array.nbytes:
            put(descriptor, array.reshape(-1).view("u1").data)
    put(descriptor, END)


def put(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of it. Ended: nobody reads it."""
    room = memoryview(data)
    while room:
        try:
            room = room[os.write(descriptor, room[:PIECE]) :]
        except OSError as error:
            raise Ended(f"writing failed ({error.strerror})") from None


def _header(data: bytearray, arrays_size: int) -> tuple[dict[str, Any], list[tuple[str, tuple[int, ...]]]]:
    """What is said, and dtype and shape of each array; Garbled where the sizes do not agree."""
    try:
        said = json.loads(data.decode("utf-8", "surrogatepass"))
        forms = [(_dtype(dtype), tuple(map(_length, shape))) for dtype, shape in said.pop("arrays")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Garbled(f"the header of a frame cannot be read ({type(error).__name__})") from None
    # Python's own whole numbers: a product of lengths cannot wrap around.
    if sum(math.prod(shape) * int(dtype[2:]) for dtype, shape in forms) != arrays_size:
        raise Garbled("the arrays of a frame are not as large as it says")
    return said, forms


def _dtype(text: Any) -> str:
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise ValueError
    return text


def _length(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_ARRAYS:
        raise ValueError
    return value
