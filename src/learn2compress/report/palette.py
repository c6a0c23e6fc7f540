"""The colours of the plots: one set for light, one for dark, and stand-ins that become CSS variables."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for."""

    ink: str
    muted: str
    grid: str
    member: str
    baseline: str
    teacher: str
    background: str

    def css(self) -> str:
        """The colours as declarations of CSS variables."""
        return " ".join(f"--plot-{name}: {colour};" for name, colour in asdict(self).items())


LIGHT = Palette(
    ink="#1c2330",
    muted="#5c6675",
    grid="#e3e7ed",
    member="#0b6bcb",
    baseline="#7d8796",
    teacher="#c2410c",
    background="#ffffff",
)
DARK = Palette(
    ink="#e6eaf0",
    muted="#9aa5b4",
    grid="#2b323d",
    member="#5aa9f8",
    baseline="#8a94a4",
    teacher="#fb923c",
    background="#171b22",
)
# Colours that matplotlib does not use by itself, so that each can be found again in what it writes.
SENTINELS = Palette(
    ink="#fe0101",
    muted="#fe0102",
    grid="#fe0103",
    member="#fe0104",
    baseline="#fe0105",
    teacher="#fe0106",
    background="#fe0107",
)


def css_variables() -> list[tuple[str, str]]:
    """Each sentinel with the CSS variable that takes its place."""
    return [(colour, f"--plot-{name}") for name, colour in asdict(SENTINELS).items()]
