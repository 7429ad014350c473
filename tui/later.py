"""numpy, imported when it is first used: 0.1 s that the first paint, which draws no matrix, need not wait for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """A module by name; its attributes are looked up once."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(import_module(self.__name__), attribute)
        self.__dict__[attribute] = value
        return value


numpy = Later("numpy")
