"""On the path of the program and its keeper while it is soaked: caches that are full after a minute, not after an hour,
so that what their filling takes is no growth. The program's own of results, and those of functions that Textual and
Rich keep by the thousand (styles, regions, cut lines): at their full size they take up to a tenth of the memory, and
random keys need some 20,000 inputs to fill them."""

import functools
from typing import Any

MOST = 256
_whole = functools.lru_cache


def _small(maxsize: Any = 128, typed: bool = False) -> Any:
    return _whole(min(maxsize, MOST) if isinstance(maxsize, int) else maxsize, typed)


functools.lru_cache = _small  # type: ignore[misc, assignment]

from tui.engine import cache  # noqa: E402 - after that

cache.room_for = lambda model: 4 << 20
