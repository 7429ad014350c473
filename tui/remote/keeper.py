"""The process on the model's machine that outlives a cut line: one a user, with a room for each screen.

It listens on a Unix-domain socket (``place``), keeps a room as long as its screen asked for while the line is cut, ends
it at once when the screen says goodbye, and itself with the last room. It belongs to no terminal and no login.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from .. import __version__, label, memory, process, shelf, terminal
from ..engine.bench import Bench
from ..engine.jobs import Open
from . import coding, frames, place, talk
from .frames import Ended, Garbled, OtherVersion
from .line import Pipes
from .mail import Mail
from .room import Room, unsendable

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks at who has been away for too long."""
FIRST_ROOM = 30.0
"""Seconds that the keeper waits for its first screen."""
SILENT = 60.0
"""Seconds after which a screen that says nothing, not even that it lives, is taken to be cut off."""
MOST_LINGER = 24 * 60.0
"""Minutes."""
LAST_WORD = 5.0
"""Seconds that the other side has to take the last word."""
LOT = 20
"""Models that are told at once."""


def make_bench() -> Bench:
    """Where jobs are computed; brings in torch, in an engine's thread."""
    from ..engine.run import Bench as RealBench

    return RealBench()


class Keeper:
    """The rooms."""

    def __init__(self, bench: Callable[[], Bench] = make_bench, stays: bool = False) -> None:
        """``stays``: also without any room, until it is told to end."""
        self._bench = bench
        self._stays = stays
        self._rooms: list[Room] = []
        self._lock = threading.Lock()
        self._since = monotonic()
        self._had_rooms = False
        self._ended = threading.Event()

    def prepare(self, job: Open) -> None:
        """Open a model for the first screen that comes."""
        room = Room("", self._bench)
        with self._lock:
            self._rooms.append(room)
        room.prepare(job)

    def serve(self, listener: socket.socket, path: Path) -> None:
        """Take screens until nothing is to be kept any more; then the socket is gone."""
        listener.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                selector.select(LOOK_EVERY)
                self._accept(listener)
                if self.is_over():
                    with place.alone(path):  # nobody connects to one that is about to leave
                        self._accept(listener)
                        if self.is_over():
                            path.unlink(missing_ok=True)
                            break
        with contextlib.suppress(OSError):
            listener.close()
        self.close()

    def close(self) -> None:
        """Give up every room."""
        with self._lock:
            rooms, self._rooms = self._rooms, []
        for room in rooms:
            room.close()

    def end(self) -> None:
        """Stop serving; safe in a signal handler."""
        self._ended.set()

    def receive(self, connection: socket.socket) -> threading.Thread:
        """Talk to a screen, in a thread of its own."""
        thread = threading.Thread(target=Guest(self, connection).run, name="guest", daemon=True)
        thread.start()
        return thread

    def room(self, hello: talk.Hello, mail: Mail) -> Room:
        """The room of a screen: its own, one that was left behind, or a new one."""
        with self._lock:
            own = [room for room in self._rooms if room.client == hello.client]
            left = [room for room in self._rooms if not room.taken] if hello.adopts else []
            found = next(iter([*own, *reversed(left)]), None)
            if found is None:
                found = Room(hello.client, self._bench)
                self._rooms.append(found)
            found.enter(hello.client, mail)
            self._had_rooms = True
            return found

    def give_up(self, room: Room) -> None:
        """Nobody comes back to a room."""
        with self._lock:
            if room in self._rooms:
                self._rooms.remove(room)
        room.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                if place.is_mine(connection):
                    self._since = monotonic()
                    self.receive(connection)
                else:
                    log.warning("another user's process was turned away")
                    connection.close()

    def is_over(self) -> bool:
        """Whether nothing is to be kept any more; gives up the rooms whose screens were away for too long."""
        now = monotonic()
        with self._lock:  # whose screen comes back just now is not given up
            late = [room for room in self._rooms if room.until is not None and room.until < now]
            self._rooms = [room for room in self._rooms if room not in late]
        for room in late:
            log.info("a room is given up")
            room.close()
        return not (self._rooms or self._stays) and now - self._since > (0 if self._had_rooms else FIRST_ROOM)


class Guest:
    """A screen on the line."""

    def __init__(self, keeper: Keeper, connection: socket.socket) -> None:
        connection.setblocking(True)
        self._keeper = keeper
        self._connection = connection
        self._pipes = Pipes(connection.fileno(), connection.fileno())
        self._mail = Mail()
        self._look = 0

    def run(self) -> None:
        """Talk until the line is cut or the screen says goodbye."""
        try:
            frames.put(self._connection.fileno(), frames.START)
            message, _ = self._read()
            if not isinstance(message, talk.Hello):
                raise ValueError("no greeting came")
            if (message.version, message.schema) != (__version__, coding.schema()):
                self._part(talk.Welcome(__version__, coding.schema(), ""))
                return
            self._stay(message)
        except OtherVersion:
            # In our own frames: theirs are not known. Their side says which versions these are.
            self._part(talk.Welcome(__version__, coding.schema(), ""))
        except (Ended, Garbled, ValueError) as error:
            log.info("a line ended: %s", error)
            self._part(talk.Refused(f"What came over the line cannot be read: {error}."))
        finally:
            self._connection.close()

    def _part(self, word: talk.Message) -> None:
        """Say a last word. What has not been read yet is: else the word would be lost with it."""
        with contextlib.suppress(Ended, OSError):
            self._pipes.send(word)
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.settimeout(LAST_WORD)
            while self._connection.recv(frames.PIECE):
                pass

    def _stay(self, hello: talk.Hello) -> None:
        room = self._keeper.room(hello, self._mail)
        writer = threading.Thread(target=self._write, name="mail", daemon=True)
        try:
            self._pipes.send(talk.Welcome(__version__, coding.schema(), room.id))
            writer.start()
            while True:
                message, more = self._read()
                if isinstance(message, talk.Bye):
                    self._keeper.give_up(room)
                    return
                self.answer(room, message, more)
        finally:
            room.leave(self._mail, 60 * min(max(hello.linger, 0.0), MOST_LINGER))
            self._mail.close()
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            if writer.ident is not None:
                writer.join()

    def answer(self, room: Room, message: talk.Message, more: dict[str, object]) -> None:
        """Do what the screen asks."""
        if isinstance(message, talk.Want):
            room.want(self._mail, message, more)
        elif isinstance(message, talk.Retry):
            room.retry(message.job)
        elif isinstance(message, talk.Ping):
            self._mail.put(talk.Pong(message.number), "pong")
        elif isinstance(message, talk.Look):
            self._look = message.number
            threading.Thread(target=self._list, args=(message,), name="models", daemon=True).start()

    def _read(self) -> tuple[talk.Message, dict[str, object]]:
        frame = self._pipes.read()
        return coding.decode(frame.header, frame.arrays), frame.header

    def _write(self) -> None:
        try:
            while not self._mail.closed:
                message = self._mail.take(SILENT / 2)
                if message is None:
                    if self._pipes.silent > SILENT:
                        raise Ended("nothing came for a minute")
                    continue
                try:
                    self._pipes.send(message)
                except (TypeError, ValueError) as error:
                    if not isinstance(message, talk.Came | talk.Part):
                        raise
                    self._pipes.send(unsendable(message, error))
        except Ended as error:
            log.info("a line ended: %s", error)
        except Exception:
            log.exception("writing to a screen")
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # and the reader ends too

    def _list(self, asked: talk.Look) -> None:
        """In a thread of its own: every model here, in lots."""
        lot: list[label.Label] = []
        free = label.free_memory(asked.device)
        sent = monotonic()
        try:
            for one in shelf.look(Path.cwd(), asked.opened):
                lot.append(one)
                if self._look != asked.number or self._mail.closed:
                    return
                if len(lot) >= LOT or monotonic() - sent > 0.2:
                    self._mail.put(talk.Seen(asked.number, free, tuple(lot)))
                    lot, sent = [], monotonic()
        except Exception:  # a library's, on a cache that somebody has changed meanwhile: what was found is listed
            log.exception("listing models")
        self._mail.put(talk.Seen(asked.number, free, tuple(lot), done=True))


def main() -> None:
    """The process: ``python -m tui.remote.keeper DESCRIPTOR SOCKET``, started by the bridge."""
    descriptor, path = int(sys.argv[1]), Path(sys.argv[2])
    memory.share_free()
    run(Keeper(), socket.socket(fileno=descriptor), path)


def run(keeper: Keeper, listener: socket.socket, path: Path) -> None:
    """Serve until the end, with libraries that keep quiet and no signal of a terminal's."""
    os.environ.update({name: value for name, value in terminal.LIBRARIES.items() if name not in os.environ})
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.end())
    keeper.serve(listener, path)
    process.leave(0)


if __name__ == "__main__":
    main()
