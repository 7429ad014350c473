"""Colours of the pictures: ramps that read on dark and light themes, on 256 and 16 colours and with none.

A value becomes one of at most 41 levels and a level a Swatch, no two of them alike. Few levels, because neighbours of
one level merge into one run of bytes. Diverging is blue - neutral - orange (safe for red-green blindness), sequential
climbs in lightness; both start at a neutral that stands 9 % off the surface, so that zero is never taken for a masked
cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from rich.color import Color, ColorSystem
from textual.app import App

from tui.results import Limits

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np

Mode = Literal["truecolor", "256", "16", "none"]
RGB = tuple[int, int, int]

SEQUENTIAL_LEVELS = 32
DIVERGING_LEVELS = 41

# Hand-picked, because a quantised ramp of 256 levels falls to 14 colours there. Each is monotone in lightness, and
# each survives Rich's way from an index to RGB and back.
_XTERM = {
    ("sequential", True): (23, 24, 30, 31, 37, 43, 79, 114, 150, 192, 229),
    ("sequential", False): (151, 115, 79, 37, 31, 25, 19, 18, 17),
    ("negative", True): (17, 18, 19, 24, 26, 32, 69, 39, 111, 117, 159),
    ("negative", False): (153, 117, 111, 74, 69, 32, 26, 20, 19, 18, 17),
    ("positive", True): (52, 88, 94, 130, 166, 172, 208, 179, 215, 222, 230),
    ("positive", False): (223, 216, 179, 208, 202, 166, 130, 94, 124, 88, 52),
}
_RAMPS: dict[tuple[str, bool], tuple[RGB, ...]] = {
    ("sequential", True): (
        (37, 55, 94),
        (32, 100, 140),
        (32, 148, 146),
        (84, 192, 124),
        (184, 222, 98),
        (253, 245, 176),
    ),
    ("sequential", False): (
        (158, 206, 190),
        (98, 185, 180),
        (44, 138, 165),
        (38, 86, 145),
        (44, 42, 106),
        (26, 14, 56),
    ),
    ("negative", True): ((34, 72, 122), (38, 112, 184), (70, 155, 226), (148, 205, 250), (216, 239, 255)),
    ("negative", False): ((168, 204, 238), (96, 160, 222), (38, 108, 190), (16, 64, 140), (8, 32, 86)),
    ("positive", True): ((112, 62, 24), (176, 94, 26), (228, 134, 42), (252, 182, 98), (255, 231, 196)),
    ("positive", False): ((240, 190, 140), (236, 146, 76), (208, 92, 24), (154, 50, 8), (92, 20, 4)),
}
# Rich's own sixteen: nearest colours of anything else are a matter of luck.
_SIXTEEN: dict[tuple[str, bool], RGB] = {
    ("negative", True): (85, 85, 255),
    ("negative", False): (0, 0, 170),
    ("positive", True): (255, 255, 85),
    ("positive", False): (170, 0, 0),
    ("sequential", True): (85, 255, 255),
    ("sequential", False): (0, 0, 170),
}
_RAMP = "·░▒▓█"
_NARROW_POSITIVE, _NARROW_NEGATIVE = "·+*#@", "·-~=≡"


@dataclass(frozen=True)
class Scheme:
    """The colours that a picture is drawn in: those of the theme, and how many the terminal has."""

    mode: Mode = "truecolor"
    surface: RGB = (20, 22, 28)
    text: RGB = (214, 219, 229)
    muted: RGB = (138, 146, 162)
    frame: RGB = (70, 77, 92)
    accent: RGB = (255, 196, 92)
    dark: bool = True

    @property
    def glyphs(self) -> bool:
        """Whether a cell says its value with characters instead of its background."""
        return self.mode in ("16", "none")


@dataclass(frozen=True)
class Swatch:
    """How one level is drawn: its background, and where colours are few a sign and a glyph."""

    background: RGB
    foreground: RGB | None = None
    sign: str = ""
    glyph: str = ""
    narrow: str = ""

    @property
    def mark(self) -> str:
        """What stands before a text: ``·`` there is a token's blank, so the lowest step has no mark."""
        return " " if self.narrow == _RAMP[0] else self.narrow

    def text(self, columns: int) -> str:
        """What stands in a cell of ``columns``: blanks where the background says it all."""
        if not self.glyph:
            return " " * columns
        if columns == 1:
            return self.narrow
        body = self.sign + self.glyph * max(1, columns - len(self.sign) - (columns > 2))
        return (self.sign + self.glyph if self.glyph == _RAMP[0] else body)[:columns].ljust(columns)


@dataclass(frozen=True)
class Palette:
    swatches: tuple[Swatch, ...]
    """From the lowest value to the highest; diverging palettes have an odd number, zero in the middle."""
    diverging: bool

    def __len__(self) -> int:
        return len(self.swatches)


@dataclass(frozen=True)
class Scale:
    """The range of values that a palette spans."""

    low: float
    high: float
    """Above ``low``."""

    def levels(self, values: np.ndarray, count: int) -> np.ndarray:
        """The level of each value, ``[…]`` int16; -1 where there is none (NaN). ±inf is the end of the scale."""
        span = self.high - self.low
        with np.errstate(invalid="ignore"):
            place = np.clip((values.astype(np.float64) - self.low) / span, 0.0, 1.0)
            place = np.rint(place * (count - 1))
        return np.where(np.isnan(place), -1, place).astype(np.int16)


def scale_of(values: np.ndarray, diverging: bool, limits: Limits | None = None) -> Scale:
    """Between the limits of the quantity; without, symmetric around zero, or from zero (from the minimum, where that is
    below) to the maximum."""
    if limits is not None:
        return Scale(*limits)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Scale(-1.0 if diverging else 0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if diverging:
        most = max(abs(low), abs(high)) or 1.0
        return Scale(-most, most)
    low = min(low, 0.0)
    return Scale(low, high if high > low else low + 1.0)


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """``first`` with ``share`` of ``second``."""
    return _rgb(tuple(a + (b - a) * share for a, b in zip(first, second, strict=True)))


def luminance(colour: RGB) -> float:
    """Relative luminance, 0 to 1."""
    red, green, blue = ((c / 255) ** 2.2 for c in colour)
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def contrast(colour: RGB) -> RGB:
    """Black or white, whichever is read on ``colour``."""
    return (0, 0, 0) if luminance(colour) > 0.18 else (255, 255, 255)


def mode_of(app: App[object]) -> Mode:
    """What the terminal of a running app can show."""
    if app.no_color:
        return "none"
    return {"truecolor": "truecolor", "256": "256", None: "none"}.get(app.console.color_system, "16")  # type: ignore[return-value]


@lru_cache(maxsize=64)
def palette(scheme: Scheme, diverging: bool) -> Palette:
    """The levels of a diverging or a sequential picture in a scheme."""
    if scheme.glyphs:
        return _glyph_palette(scheme, diverging)
    neutral = _neutral(scheme)
    if diverging:
        low, high = _ramp(scheme, "negative", neutral), _ramp(scheme, "positive", neutral)
        colours = [*reversed(low), neutral, *high]
    else:
        colours = [neutral, *_ramp(scheme, "sequential", neutral)]
    return Palette(tuple(Swatch(colour) for colour in colours), diverging)


def _neutral(scheme: Scheme) -> RGB:
    wanted = mix(scheme.surface, scheme.text, 0.09)
    if scheme.mode != "256":
        return wanted
    surface = _index(scheme.surface)
    # Two steps of the grey ramp off the surface; one may fall on the same index after rounding.
    step = max(1, min(21, round((sum(scheme.surface) / 3 - 8) / 10) + (2 if scheme.dark else -2)))
    grey = (8 + 10 * step,) * 3
    return grey if _index(grey) != surface else wanted


def _ramp(scheme: Scheme, name: str, neutral: RGB) -> list[RGB]:
    """From the neutral, without it."""
    if scheme.mode == "256":
        return [*map(_xterm, _XTERM[name, scheme.dark])]
    count = SEQUENTIAL_LEVELS - 1 if name == "sequential" else DIVERGING_LEVELS // 2
    stops = [neutral, *_RAMPS[name, scheme.dark]]
    return [_between(stops, (level + 1) / count) for level in range(count)]


def _between(stops: Sequence[RGB], place: float) -> RGB:
    lab = np.array([_oklab(stop) for stop in stops])
    steps = np.concatenate([[0.0], np.cumsum([np.linalg.norm(b - a) for a, b in pairwise(lab)])])
    at = place * steps[-1]
    return _from_oklab([float(np.interp(at, steps, lab[:, axis])) for axis in range(3)])


_TO_LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
           [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
_TO_LAB = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
           [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip


def _oklab(colour: RGB) -> np.ndarray:
    linear = (np.array(colour) / 255) ** 2.2
    return np.asarray(np.array(_TO_LAB) @ np.cbrt(np.array(_TO_LMS) @ linear))


def _from_oklab(lab: Sequence[float]) -> RGB:
    lms = np.linalg.solve(_TO_LAB, np.array(lab)) ** 3
    linear = np.clip(np.linalg.solve(_TO_LMS, lms), 0, 1)
    return _rgb(tuple(linear ** (1 / 2.2) * 255))


def _glyph_palette(scheme: Scheme, diverging: bool) -> Palette:
    def swatch(step: int, sign: int) -> Swatch:
        name = ("negative", "sequential", "positive")[sign + 1]
        colour = scheme.text if step else scheme.muted
        if step and scheme.mode == "16":
            colour = _SIXTEEN[name, scheme.dark]
        narrow = (_NARROW_NEGATIVE if sign < 0 else _NARROW_POSITIVE)[step]
        mark = {1: "+", -1: "−"}.get(sign, "") if step else ""
        return Swatch(scheme.surface, colour, mark, _RAMP[step], narrow)

    steps = range(1, len(_RAMP))
    if not diverging:
        return Palette((swatch(0, 0), *(swatch(step, 0) for step in steps)), False)
    low = [swatch(step, -1) for step in reversed(steps)]
    return Palette((*low, swatch(0, 0), *(swatch(step, 1) for step in steps)), True)


def _rgb(values: Sequence[float]) -> RGB:
    red, green, blue = (max(0, min(255, round(float(value)))) for value in values)
    return red, green, blue


def _xterm(index: int) -> RGB:
    return tuple(Color.from_ansi(index).get_truecolor())  # type: ignore[return-value]


def _index(colour: RGB) -> int | None:
    """The index that Rich sends to a terminal of 256 colours."""
    return Color.from_rgb(*colour).downgrade(ColorSystem.EIGHT_BIT).number
