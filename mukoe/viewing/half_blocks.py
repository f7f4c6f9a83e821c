"""Pictures as text: two pixels per character of a terminal, in 24-bit colour."""

import cv2
import numpy as np

_UPPER_HALF = "▀"
_RESET = "\x1b[0m"


def to_text(frame: np.ndarray, columns: int, lines: int) -> str:
    """Returns a picture as text of at most `lines` lines of `columns` characters.

    Args:
      frame: picture `[H, W, 3]` uint8.
      columns: number of columns.
      lines: number of lines, each with two rows of pixels.
    """
    height, width = frame.shape[:2]
    scale = min(columns / width, 2 * lines / height, 1.0)
    size = max(1, int(width * scale)), max(2, int(height * scale) // 2 * 2)
    pixels = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return "\n".join(
        _line(upper.tolist(), lower.tolist())
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
    )


def _line(upper: list[list[int]], lower: list[list[int]]) -> str:
    """Returns a line of text; a colour is set where it differs from that of the last character."""
    parts, last = [], ([-1], [-1])
    for above, below in zip(upper, lower, strict=True):
        if above != last[0]:
            parts.append(f"\x1b[38;2;{above[0]};{above[1]};{above[2]}m")
        if below != last[1]:
            parts.append(f"\x1b[48;2;{below[0]};{below[1]};{below[2]}m")
        parts.append(_UPPER_HALF)
        last = (above, below)
    return "".join(parts) + _RESET
