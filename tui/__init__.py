"""circuit-tui: transformer circuits in a terminal."""

__version__ = "0.1.0"
