"""What waits to be sent on one line, in order; of what is outdated before it could be sent only the last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Mail:
    """Put from any thread, taken by the one that writes."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, Any] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._count = 0

    def put(self, message: Any, about: Hashable = None) -> None:
        """Send a message, in place of one ``about`` the same thing that still waits."""
        with self._changed:
            self._count += 1
            key = ("", self._count) if about is None else about
            self._waiting.pop(key, None)
            self._waiting[key] = message
            self._changed.notify_all()

    def drop(self, unwanted: Callable[[Any], bool]) -> None:
        """Take back what still waits."""
        with self._changed:
            for key in [key for key, message in self._waiting.items() if unwanted(message)]:
                del self._waiting[key]

    def take(self, timeout: float | None = None) -> Any | None:
        """The next message, waiting for it; None: there was none in so many seconds, or there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            return self._waiting.popitem(last=False)[1] if self._waiting else None

    def close(self) -> None:
        """What waits is still to be taken; nobody waits for more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether there will be no more."""
        return self._closed and not self._waiting
