"""On the path of the program and its keeper while it is soaked: a cache that is full after a minute, not after an
hour, so that what its filling takes is no growth."""

from tui.engine import cache

cache.room_for = lambda model: 4 << 20
