"""Frames: arrays bit for bit, and whatever else comes on a line refused with a sentence."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import tempfile
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from tui.remote import frames
from tui.remote.frames import HEAD, MARK, PROTOCOL, START, Ended, Garbled, OtherVersion, Reader

ARRAYS = (
    np.array([[1.5, np.nan], [-0.0, np.inf]], np.float32),
    np.frombuffer(b"\x01\x00\xc0\x7f\xff\xff\xff\xff", np.float32),  # NaNs with something in them
    np.array(3.0),
    np.zeros((0, 7), np.int64),
    np.array([True, False]),
    np.arange(6, dtype=">u2").reshape(2, 3),
    np.arange(12.0).reshape(3, 4).T,
    np.array([1.5], np.float16),
)


class Pipe:
    """Two ends; whoever writes closes the one it writes to."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        self.reader = Reader(self.out)
        self._writer: threading.Thread | None = None

    def bytes(self, data: bytes) -> Reader:
        """What comes is this, and then nothing more."""
        self._writer = threading.Thread(target=self._put, args=(data,))
        self._writer.start()
        return self.reader

    def close(self) -> None:
        os.close(self.out)
        if self._writer is None:
            os.close(self.into)
        else:
            self._writer.join()

    def _put(self, data: bytes) -> None:
        with contextlib.suppress(Ended):  # nobody reads it to its end
            frames.put(self.into, data)
        os.close(self.into)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def written(header: dict[str, object], *arrays: np.ndarray) -> bytes:
    """One frame as bytes."""
    with tempfile.TemporaryFile() as file:
        frames.write(file.fileno(), header, arrays)
        file.seek(0)
        return file.read()


def test_arrays_come_as_they_went(pipe: Pipe) -> None:
    frame = pipe.bytes(written({"says": {"text": "ä\n\ud800"}}, *ARRAYS)).read()
    assert frame.header == {"says": {"text": "ä\n\ud800"}}
    for sent, came in zip(ARRAYS, frame.arrays, strict=True):
        assert (came.dtype, came.shape) == (sent.dtype, sent.shape)
        assert came.tobytes() == sent.tobytes()
        assert not came.flags.writeable


def test_a_frame_ends_with_its_line(pipe: Pipe) -> None:
    """A relay that passes whole lines on, as Slurm's does, keeps nothing of it back."""
    assert written({"a": 1}).endswith(b"\n")
    assert pipe.bytes(written({"a": 1}) + written({"a": 2})).read().header == {"a": 1}
    assert pipe.reader.read().header == {"a": 2}
    with pytest.raises(Ended, match="the line ended"):
        pipe.reader.read()


def test_what_a_login_shell_prints_is_skipped(pipe: Pipe) -> None:
    banner = b"Welcome to box\r\n\x1b[1mmaintenance\x1b[0m on Monday\n" + START[:5] + b"\n"
    reader = pipe.bytes(banner + START + written({"a": 1}))
    assert reader.find_start() == banner
    assert reader.read().header == {"a": 1}


def test_a_line_without_a_start(pipe: Pipe) -> None:
    with pytest.raises(Ended) as raised:
        pipe.bytes(b"This account is closed.\n").find_start()
    assert raised.value.args[1] == b"This account is closed.\n"


def test_a_flood_without_a_start(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_BEFORE", 2000)
    with pytest.raises(Garbled, match="first megabyte"):
        pipe.bytes(b"y\n" * 2000).find_start()


def test_another_version_says_which(pipe: Pipe) -> None:
    with pytest.raises(OtherVersion, match=f"version 7 of the protocol, and this side {PROTOCOL}") as raised:
        pipe.bytes(HEAD.pack(MARK, 7, 2, 0) + b"{}").read()
    assert raised.value.version == 7


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"{}", b""),
        (b"[]", b""),
        (b"{", b""),
        (b"\xff\xfe", b""),
        (b'{"arrays": 3}', b""),
        (b'{"arrays": [["<f4", [2]]]}', b"1234"),
        (b'{"arrays": [["|O", [1]]]}', b"12345678"),
        (b'{"arrays": [["<f4", [-1, -1]]]}', b"1234"),
        (b'{"arrays": [["<f4", [true]]]}', b"1234"),
        (b'{"arrays": [["<f4", [1.0]]]}', b"1234"),
        (b'{"arrays": [["<f4", [4294967296, 4294967296, 0]], ["<f4", [9999999999999999999999]]]}', b""),
        (b'{"arrays": [["<f4", [' + b"1," * 99 + b"1]]]}", b"1234"),
        (b"[" * 100_000, b""),
    ],
    ids=str.split("none list cut binary number short objects negative truth fraction overflow dimensions deep"),
)
def test_headers_that_cannot_be(pipe: Pipe, header: bytes, body: bytes) -> None:
    with pytest.raises(Garbled):
        pipe.bytes(HEAD.pack(MARK, PROTOCOL, len(header), len(body)) + header + body + b"\n").read()


@pytest.mark.parametrize("sizes", [(0xFFFFFFFF, 0), (2, 0xFFFFFFFFFFFFFFFF), (2, frames.MOST_ARRAYS + 1)])
def test_huge_lengths_take_no_memory(pipe: Pipe, sizes: tuple[int, int]) -> None:
    with pytest.raises(Garbled, match="larger than any"):
        pipe.bytes(HEAD.pack(MARK, PROTOCOL, *sizes) + b"{}").read()


def test_an_array_with_objects_is_not_sent() -> None:
    with pytest.raises(ValueError, match="no array of"):
        written({}, np.array([object()]))


def test_cut_and_changed_frames() -> None:
    """A frame that ends early or has a changed byte is read, or refused: never anything else, and never for ever."""
    draw = random.Random(12)
    whole = written({"says": {"is": "Bye"}}, ARRAYS[0], ARRAYS[4])
    for trial in range(300):
        data = bytearray(whole[: draw.randrange(len(whole))] if trial % 2 else whole)
        for _ in range(draw.randrange(3)):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        pipe = Pipe()
        reader = pipe.bytes(bytes(data))
        with pytest.raises((Ended, Garbled), match=r"."):
            read_all(reader)
        pipe.close()


def read_all(reader: Reader) -> None:
    while True:
        reader.read()


def test_garbage() -> None:
    draw = random.Random(5)
    for _ in range(100):
        pipe = Pipe()
        try:
            with pytest.raises((Ended, Garbled)):
                pipe.bytes(draw.randbytes(draw.randrange(200))).read()
        finally:
            pipe.close()


def test_the_head_is_as_small_as_it_looks() -> None:
    assert HEAD.size == struct.calcsize("!2sHIQ") == 16
