"""Drawings as SVG 1.1 text: no fonts, no scripts, nothing from elsewhere; light or dark as its viewer is.

Text is as wide as its viewer's font makes it. `text_width` is what a wide sans-serif takes, so that what is
laid out by it overlaps nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from tui.view.safe import safe_line

FONT_PX = 12.0
_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[] "), frozenset("mwMW@%")
_COLOURS = ("#2f81d6", "#dd6b20", "#1a9e76", "#b65fcf", "#b8860b", "#3fa9d8")
"""Near those of Okabe & Ito, which all can tell apart; as light as shows on white and on black."""

_STYLE = (
    "text{font-family:Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif;fill:#24292f}"
    ".paper{fill:#ffffff}.dim{fill:#57606a}.grid{stroke:#d8dee4}.axis{stroke:#57606a}"
    ".limit{stroke:#57606a;stroke-dasharray:5 4}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.dim{fill:#9198a1}"
    ".grid{stroke:#30363d}.axis{stroke:#9198a1}.limit{stroke:#9198a1}}"
)


def text_width(words: str, size_px: float = FONT_PX) -> float:
    """Pixels, rather too many than too few."""
    return sum(map(_ems, words)) * size_px


def fitted(words: str, width_px: float, size_px: float = FONT_PX) -> str:
    """A safe line: its beginning, as far as there is room."""
    words = safe_line(words)
    if text_width(words, size_px) <= width_px:
        return words
    while words and text_width(words + "…", size_px) > width_px:
        words = words[:-1]
    return words + "…"


class Drawing:
    """Shapes in pixels from the upper left corner; series are numbered, and keep their colour and shape."""

    def __init__(self, width: float, height: float, *, title: str) -> None:
        self.width = width
        self.height = height
        self._title = title
        self._parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        dim: bool = False,
        size_px: float = FONT_PX,
    ) -> None:
        """`y`: of the middle of the letters; `anchor`: start, middle, end."""
        kind = ' class="dim"' if dim else ""
        self._parts.append(
            f'<text{kind} x="{x:.1f}" y="{y + size_px * 0.35:.1f}" font-size="{size_px:g}"'
            f' text-anchor="{anchor}">{escape(safe_line(words))}</text>'
        )

    def line(self, ends: tuple[float, float, float, float], kind: str) -> None:
        """`kind`: grid, axis, limit."""
        x1, y1, x2, y2 = ends
        self._parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def mark(self, x: float, y: float, series: int, *, faint: bool = False) -> None:
        """One value; faint: one of many behind a mean."""
        colour = _COLOURS[series % len(_COLOURS)]
        radius, opacity = (3.0, ' fill-opacity="0.5"') if faint else (5.0, "")
        self._parts.append(f'<path d="{_outline(x, y, series, radius)}" fill="{colour}"{opacity}/>')

    def path(self, points: Sequence[tuple[float, float]], series: int) -> None:
        """From point to point."""
        drawn = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        colour = _COLOURS[series % len(_COLOURS)]
        self._parts.append(f'<path d="M{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def band(
        self, upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], series: int
    ) -> None:
        """What lies between two lines over the same places."""
        drawn = "L".join(f"{x:.1f} {y:.1f}" for x, y in (*upper, *reversed(lower)))
        colour = _COLOURS[series % len(_COLOURS)]
        self._parts.append(f'<path d="M{drawn}Z" fill="{colour}" fill-opacity="0.15"/>')

    def document(self) -> str:
        """The whole file."""
        width, height = f"{self.width:.0f}", f"{self.height:.0f}"
        title = safe_line(self._title)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
                f' height="{height}" role="img" aria-label={quoteattr(title)}>',
                f"<title>{escape(title)}</title>",
                f"<style>{_STYLE}</style>",
                f'<rect class="paper" width="{width}" height="{height}"/>',
                *self._parts,
                "</svg>\n",
            ]
        )


def _ems(letter: str) -> float:
    if letter in _NARROW:
        return 0.38
    return 1.1 if not letter.isascii() else 0.95 if letter in _WIDE else 0.64


def _outline(x: float, y: float, series: int, radius: float) -> str:
    """A disc, a diamond, a square, or a triangle."""
    r = radius
    match series % 4:
        case 0:
            return f"M{x - r:.1f} {y:.1f}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0Z"
        case 1:
            d = f"{r * 1.2:g}"
            return f"M{x:.1f} {y - r * 1.2:.1f}l{d} {d}l-{d} {d}l-{d} -{d}Z"
        case 2:
            return f"M{x - r * 0.9:.1f} {y - r * 0.9:.1f}h{r * 1.8:g}v{r * 1.8:g}h{-r * 1.8:g}Z"
        case _:
            return f"M{x:.1f} {y - r:.1f}l{r:g} {r * 1.8:g}h{-2 * r:g}Z"
