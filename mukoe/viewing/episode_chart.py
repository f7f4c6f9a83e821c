"""Picture of a stored episode as SVG: its frames, or its observations, actions and rewards."""

import base64
import io
from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np

from mukoe.errors import UserError

_WIDTH, _ROW, _LABEL = 900, 60, 150
_MAX_ROWS = 16
_FRAMES, _COLUMNS = 24, 6


def draw_stored_episode(
    observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, title: str
) -> str:
    """Returns the picture of an episode.

    Frames are evenly spaced over the episode. Other observations are curves over the steps, at most
    16 entries of them, above those of the actions and of the rewards.

    Args:
      observations: observations `[L+1, ...]`; those of at least two axes `[L+1, H, W, ...]` are
        frames.
      actions: actions `[L]` or `[L, D]`.
      rewards: rewards `[L]`.
      title: title of the picture.
    """
    if observations.ndim >= 3:
        return _draw_frames(_to_pictures(observations), title)
    entries = observations.reshape(len(observations), -1).astype(np.float64)
    shown = min(entries.shape[1], _MAX_ROWS)
    rows = [(f"observation {index}", entries[:, index]) for index in range(shown)]
    columns = actions.reshape(len(actions), -1).astype(np.float64)
    rows += [(f"action {index}", columns[:, index]) for index in range(columns.shape[1])]
    rows.append(("reward", rewards.astype(np.float64)))
    return _draw_curves(rows, title)


def _to_pictures(observations: np.ndarray) -> np.ndarray:
    """Returns frames `[T, H, W]` or `[T, H, W, 3]` uint8; planes become shades of grey."""
    if observations.dtype == np.uint8 and (
        observations.ndim == 3 or observations.shape[-1] in (1, 3)
    ):
        return observations[..., 0] if observations.shape[-1] == 1 else observations
    planes = observations.reshape(*observations.shape[:3], -1).astype(np.float64)
    shades = (planes * np.arange(1, planes.shape[-1] + 1)).max(axis=-1)
    low, high = shades.min(), shades.max()
    return ((shades - low) / max(high - low, 1e-9) * 255).astype(np.uint8)


def _draw_frames(frames: np.ndarray, title: str) -> str:
    steps = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).astype(int))
    width = _WIDTH // _COLUMNS
    height = int(width * frames.shape[1] / frames.shape[2])
    parts = []
    for number, step in enumerate(steps):
        x, y = number % _COLUMNS * width, 30 + number // _COLUMNS * (height + 20)
        parts.append(
            f'<image x="{x}" y="{y}" width="{width - 6}" height="{height}" '
            f'style="image-rendering:pixelated" href="{_data_uri(frames[step])}"/>'
            f'<text x="{x}" y="{y + height + 13}">step {step}</text>'
        )
    rows = -(-len(steps) // _COLUMNS)
    return _svg(parts, title, 30 + rows * (height + 20))


def _data_uri(frame: np.ndarray) -> str:
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError(
            f"pictures of frames need the extra 'video': pip install 'mukoe[video]' ({error})"
        ) from error
    file = io.BytesIO()
    Image.fromarray(frame).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _draw_curves(rows: Sequence[tuple[str, np.ndarray]], title: str) -> str:
    parts = []
    for number, (name, values) in enumerate(rows):
        top = 30 + number * _ROW
        low, high = values.min(), values.max()
        x = _LABEL + np.linspace(0, _WIDTH - _LABEL - 10, max(len(values), 2))[: len(values)]
        y = top + 5 + (high - values) / max(high - low, 1e-9) * (_ROW - 15)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        parts.append(
            f'<text x="4" y="{top + 18}">{name}</text>'
            f'<text x="4" y="{top + 36}" fill="#777">{low:.3g} to {high:.3g}</text>'
            f'<polyline points="{points}" fill="none" stroke="#1f5fbf"/>'
        )
    return _svg(parts, title, 30 + len(rows) * _ROW)


def _svg(parts: Sequence[str], title: str, height: int) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" '
        f'fill="white"/>\n<text x="4" y="18" font-weight="bold">{escape(title)}</text>\n'
        f"{body}\n</svg>\n"
    )
