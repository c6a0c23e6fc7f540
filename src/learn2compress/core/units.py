"""Quantities as people write them (`100KB`, `5ms`, `10M`, `20m`) and as they like to read them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal

from learn2compress.core.errors import InputError

# Units are spelled here as people type them; they are read in small letters and in capitals alike.
# Decimal prefixes, as file managers and stores quote sizes; KiB and MiB are there for who means them.
BYTES: dict[str, float] = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
COUNTS: dict[str, float] = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
# Without a unit, 20 would be seconds for some and minutes for others.
SECONDS: dict[str, float] = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
MILLISECONDS: dict[str, float] = {"": 1, "us": 1e-3, "ms": 1, "s": 1e3}
FRACTIONS: dict[str, float] = {"": 1, "%": 1e-2}

_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z%]*)\s*")


def quantity(text: str, units: Mapping[str, float], what: str, example: str) -> float:
    """Reads `"100KB"` with `units=BYTES` as 100000.0.

    Raises:
        InputError: `units.malformed` when the text is no number with one of the units.
    """
    match = _QUANTITY.fullmatch(text)
    in_small = {unit.lower(): size for unit, size in units.items()}
    unit = match.group(2).lower() if match else ""
    if match is None or unit not in in_small:
        known = ", ".join(u for u in units if u)
        raise InputError(
            "units.malformed",
            f"{what} {text!r} is not a number with a unit.",
            f"write it like {example} (units: {known}).",
        )
    # In floats 64.1 * 1000 is a little less than 64100, and what takes just that would be beyond it.
    return float(Decimal(match.group(1)) * Decimal(str(in_small[unit])))


def duration_seconds(text: str) -> float:
    """Reads `90s`, `20m`, `1.5h` or `1h30m` as seconds; each number has its unit.

    Raises:
        InputError: `units.malformed`.
    """
    example = "20m, 90s or 1h30m"
    parts = re.findall(r"[0-9.]+\s*[A-Za-z]*", text.strip())
    if not parts or "".join(parts).replace(" ", "") != text.replace(" ", ""):
        quantity(text, SECONDS, "The duration", example)
    what = "The duration" if len(parts) == 1 else f"In the duration {text!r}, the part"
    seconds = sum(quantity(part, SECONDS, what, example) for part in parts)
    if seconds <= 0:
        raise InputError("units.malformed", f"The duration {text!r} is not positive.", "write it like 20m.")
    return seconds


def show_bytes(n: float) -> str:
    """`98496` as `98.5 kB`."""
    return _scaled(n, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), "B")


def show_count(n: float) -> str:
    """`12500000` as `12.5 M`."""
    return _scaled(n, (("G", 1e9), ("M", 1e6), ("k", 1e3)), "").rstrip()


def _scaled(n: float, prefixes: tuple[tuple[str, float], ...], unit: str) -> str:
    for prefix, size in prefixes:
        if n >= 0.9995 * size:  # what would round to 1000 of the next smaller unit
            return f"{n / size:.3g} {prefix}" if n < 999.5 * size else f"{n / size:.0f} {prefix}"
    return f"{n:.0f} {unit}"


def rounded_up(n: float, least: float = 1) -> float:
    """`98496` as `98500.0`: to three digits, but in steps of `least` or more, and never below what it stands for."""
    step = max(least, 10.0 ** (math.floor(math.log10(max(n, least))) - 2))
    return math.ceil(n / step) * step


def milliseconds(value: float) -> str:
    """Three significant digits, but never scientific: `0.0312`, `1.25`, `48.3`, `1230`."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def percent(fraction: float, digits: int = 1) -> str:
    """`0.9124` as `91.2 %`."""
    return f"{100 * fraction:.{digits}f} %"


def show_points(fraction: float) -> str:
    """`0.04`, a difference of two shares, as `4 points`."""
    text = f"{100 * fraction:.3g}"
    return f"{text} point" if text == "1" else f"{text} points"


def show_duration(seconds: float) -> str:
    """`754` as `12m 34s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
