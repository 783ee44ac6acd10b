"""Colors and dashes that people with and without color vision tell apart, on a screen and in print."""

# Blue, vermilion, green and sky blue of Okabe and Ito (2008), with a darker purple and a lighter orange: any two differ by more
# than 20 in CIELAB, also as protanopes and deuteranopes perceive them.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#882255", "#f0b400", "#56b4e9")
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (10, 3)), (0, (4, 1.5, 1, 1.5, 1, 1.5)))

# From dark to light, for values with an order: the lightness alone tells them apart (samples of matplotlib's viridis).
_SHADES = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962")


def pick_shade(position: float) -> str:
    """Return the color at a position from 0, dark, to 1, light.

    >>> pick_shade(0.0), pick_shade(1.0), pick_shade(0.5)
    ('#440154', '#5ec962', '#2c728e')
    """
    place = position * (len(_SHADES) - 1)
    i = min(int(place), len(_SHADES) - 2)
    mixed = (
        round((1 - place + i) * int(_SHADES[i][c : c + 2], 16) + (place - i) * int(_SHADES[i + 1][c : c + 2], 16))
        for c in (1, 3, 5)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)
