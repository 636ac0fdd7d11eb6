"""The console's themes. Each text stands out from the ground it is drawn on by 4.5 : 1 (WCAG 2.2, 1.4.3).

The colours of the one for colour-blind eyes follow Okabe and Ito, "Color Universal Design" (2008), lighter
for a dark ground.
"""

from __future__ import annotations

from textual.theme import Theme


def _theme(
    name: str,
    *,
    grounds: tuple[str, str, str, str, str],
    texts: tuple[str, str],
    tones: tuple[str, str, str, str, str],
    faint: tuple[str, str, str],
    dark: bool = True,
) -> Theme:
    """`grounds`: background, surface, panel, the cursor's, and the cursor's of a table one is not in.

    `texts`: foreground, muted.

    `tones`: success, busy, accent, warning, error; `faint`: the grounds of errors, warnings and what is well.
    """
    background, surface, panel, cursor, resting = grounds
    foreground, muted = texts
    success, busy, accent, warning, error = tones
    return Theme(
        name=name,
        primary=busy,
        secondary=muted,
        accent=accent,
        success=success,
        warning=warning,
        error=error,
        foreground=foreground,
        background=background,
        surface=surface,
        panel=panel,
        dark=dark,
        variables={
            "text": foreground,
            "text-muted": muted,
            "text-disabled": muted,
            "text-success": success,
            "text-primary": busy,
            "text-secondary": muted,
            "text-accent": accent,
            "text-warning": warning,
            "text-error": error,
            "primary-muted": cursor,
            "surface-lighten-1": resting,
            "error-muted": faint[0],
            "warning-muted": faint[1],
            "success-muted": faint[2],
        },
    )


DARK = _theme(
    "corral-dark",
    grounds=("#10141a", "#171c24", "#1f2630", "#1d4068", "#262f3b"),
    texts=("#e6eaf0", "#a3afbe"),
    tones=("#63d68f", "#7cb8ff", "#a5d2ff", "#f3bd5a", "#ff9494"),
    faint=("#48171b", "#43300a", "#12351f"),
)
LIGHT = _theme(
    "corral-light",
    grounds=("#ffffff", "#f4f6f9", "#e6eaf0", "#cfe3fb", "#e8edf3"),
    texts=("#14181f", "#49525f"),
    tones=("#125a30", "#0b4796", "#083d84", "#6b4200", "#9c0f1c"),
    faint=("#fde0e0", "#fbeac4", "#d9f2e1"),
    dark=False,
)
SAFE = _theme(
    "corral-safe",
    grounds=("#0d1014", "#15191f", "#1d232b", "#25384e", "#252b34"),
    texts=("#eceff3", "#a9b2be"),
    tones=("#56b4e9", "#cfe4f5", "#f3a8d0", "#f0e442", "#ff9c59"),
    faint=("#43210d", "#37330a", "#0d3047"),
)
MONO = _theme(
    "corral-mono",
    grounds=("#000000", "#121212", "#1e1e1e", "#3a3a3a", "#262626"),
    texts=("#f0f0f0", "#b4b4b4"),
    tones=("#f0f0f0", "#f0f0f0", "#ffffff", "#ffffff", "#ffffff"),
    faint=("#303030", "#303030", "#303030"),
)

THEMES = {theme.name: theme for theme in (DARK, LIGHT, SAFE, MONO)}
"""By name; the first is the one to begin with."""
