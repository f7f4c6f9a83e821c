"""Geometry, colours and fonts of the pictures of `Panel`."""

import functools

from PIL import ImageFont

WIDTH, HEIGHT = 1280, 720
"""Size of a picture in pixels."""

BACKGROUND = (20, 23, 28)
RAISED = (33, 38, 46)
TEXT = (235, 238, 242)
FAINT = (145, 154, 166)
POLICY = (86, 156, 255)
PRIOR = (112, 122, 136)
CHOSEN = (255, 190, 70)

MARGIN = 24
LEFT = 604
"""Left edge of the text and plots beside the environment."""

RIGHT = WIDTH - MARGIN
TABLE_TOP = 226
LINE_TOP = 640
"""Top of the expected line, below the table of actions."""


@functools.cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Returns the font of a size in pixels."""
    return ImageFont.load_default(size)  # type: ignore[return-value]


def shorten(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    """Returns the text, cut and followed by dots if it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
