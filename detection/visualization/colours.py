"""One colour a class, told apart by colour-blind eyes too."""

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

# M. Okabe and K. Ito, "Color Universal Design", 2008, without black; the order keeps neighbours far apart.
_OKABE_ITO: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
# Each round of seven classes mixes the colours with more of the next tone: plain, light, dark.
_ROUNDS = ((WHITE, 0.0), (WHITE, 0.55), (BLACK, 0.45))


def class_colour(index: int) -> Colour:
    """RGB, 0 to 255, of the class at `index` of the class list; the same in every image and run.

    21 colours, then they repeat: the label tells such classes apart.
    """
    tone, share = _ROUNDS[index // len(_OKABE_ITO) % len(_ROUNDS)]
    plain = _OKABE_ITO[index % len(_OKABE_ITO)]
    mixed = [round((1 - share) * own + share * other) for own, other in zip(plain, tone, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def luminance(colour: Colour) -> float:
    """Relative luminance in [0, 1] (WCAG 2.1, of sRGB)."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever contrasts more with `background`: (lighter + 0.05) / (darker + 0.05), of luminances."""
    return BLACK if (luminance(background) + 0.05) ** 2 >= 0.05 * 1.05 else WHITE
