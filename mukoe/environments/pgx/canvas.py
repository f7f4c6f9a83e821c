"""Shapes and digits that the pictures of the games of pgx consist of."""

import numpy as np

CELL = 96
"""Side of a cell in pixels."""
SMALL_CELL = 48
"""Side of a cell of a board with many cells (Hex, Backgammon, MinAtar) in pixels."""

Color = tuple[int, int, int]

INK: Color = (52, 58, 64)

# Digits of 3 by 5 dots: rows of three bits from top to bottom.
_DIGITS = (
    (7, 5, 5, 5, 7),
    (2, 6, 2, 2, 7),
    (7, 1, 7, 4, 7),
    (7, 1, 7, 1, 7),
    (5, 5, 7, 1, 1),
    (7, 4, 7, 1, 7),
    (7, 4, 7, 5, 7),
    (7, 1, 1, 1, 1),
    (7, 5, 7, 5, 7),
    (7, 5, 7, 1, 7),
)


def blank_canvas(board: np.ndarray, color: Color) -> np.ndarray:
    """Returns a picture `[H * CELL, W * CELL, 3]` float64 in one colour for a board `[H, W]`."""
    height, width = board.shape
    return np.full((height * CELL, width * CELL, 3), color, np.float64)


def cell_centers(board: np.ndarray) -> np.ndarray:
    """Returns the pixel positions `[H, W, 2]` of the cell centres of a board `[H, W]`."""
    return (np.moveaxis(np.indices(board.shape), 0, -1) + 0.5) * CELL


def blend(image: np.ndarray, inside: np.ndarray, color: Color) -> None:
    """Paints a shape, anti-aliased.

    Args:
      image: `[H, W, 3]`, changed in place.
      inside: `[H, W]`, distances in pixels to the edge of the shape, negative outside.
      color: colour of the shape.
    """
    alpha = np.clip(inside + 0.5, 0.0, 1.0)[..., None]
    image[...] = image * (1 - alpha) + np.array(color) * alpha


def _around(
    image: np.ndarray, center: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the square around a shape, and the offsets of its pixels in y and x."""
    (top, left), (bottom, right) = (
        np.clip(np.round(center + reach), 0, image.shape[:2]).astype(int)
        for reach in (-radius - 2, radius + 2)
    )
    y, x = np.ogrid[top:bottom, left:right]
    return image[top:bottom, left:right], y + 0.5 - center[0], x + 0.5 - center[1]


def disc(image: np.ndarray, center: np.ndarray, radius: float, color: Color) -> None:
    """Paints a disc with a centre `(y, x)` and a radius in pixels."""
    area, dy, dx = _around(image, center, radius)
    blend(area, radius - np.hypot(dy, dx), color)


def ring(image: np.ndarray, center: np.ndarray, radius: float, width: float, color: Color) -> None:
    """Paints a ring with a centre `(y, x)`, and the radius of its middle and width in pixels."""
    area, dy, dx = _around(image, center, radius + width)
    blend(area, width / 2 - np.abs(np.hypot(dy, dx) - radius), color)


def cross(image: np.ndarray, center: np.ndarray, radius: float, width: float, color: Color) -> None:
    """Paints a diagonal cross with a centre `(y, x)`; `radius` is half of its height."""
    area, dy, dx = _around(image, center, radius)
    stroke = width / 2 - np.minimum(np.abs(dx - dy), np.abs(dx + dy)) / np.sqrt(2)
    blend(area, np.minimum(stroke, radius - np.maximum(np.abs(dx), np.abs(dy))), color)


def grid(image: np.ndarray, color: Color) -> None:
    """Draws the lines between the cells and half of a line around them, so that cells are equal."""
    for edge in range(0, image.shape[0] + 1, CELL):
        image[max(edge - 2, 0) : edge + 2] = color
    for edge in range(0, image.shape[1] + 1, CELL):
        image[:, max(edge - 2, 0) : edge + 2] = color


def finish(image: np.ndarray) -> np.ndarray:
    """Pads to even height and width, which video codecs require, and rounds."""
    height, width = image.shape[:2]
    image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.round(image).astype(np.uint8)


def write_number(area: np.ndarray, number: int, color: Color = INK, max_scale: int = 8) -> None:
    """Writes a number in the centre of an area of the picture.

    Args:
      area: `[H, W, 3]`, changed in place.
      number: number, not negative.
      color: colour of the digits.
      max_scale: maximum side of a dot in pixels; digits have 3 by 5 dots.
    """
    shapes = [np.array(_DIGITS[int(digit)]) for digit in str(number)]
    # Bit 3 is always 0: the gap after a digit.
    digits = [shape[:, None] >> np.array([2, 1, 0, 3]) & 1 for shape in shapes]
    dots = np.concatenate(digits, axis=1)[:, :-1]
    height, width = area.shape[:2]
    # A margin separates the numbers of neighbouring cells.
    scale = max(min(max_scale, 3 * width // 4 // dots.shape[1]), 1)
    dots = np.kron(dots, np.ones((scale, scale))).astype(bool)
    top, left = (height - dots.shape[0]) // 2, (width - dots.shape[1]) // 2
    area[top : top + dots.shape[0], left : left + dots.shape[1]][dots] = color
