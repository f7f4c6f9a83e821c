"""Videos as MP4 or animated GIF."""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from mukoe.errors import UserError

SUFFIXES = (".mp4", ".gif")
GIF_DOWNSCALING = 2
"""Factor by which GIFs are downscaled, because they compress poorly."""


def check_video_path(path: Path) -> None:
    """Raises a UserError unless a video can be written to the path."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"a video ends with {' or '.join(SUFFIXES)}, unlike '{path}'")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder '{path.parent}' to write {path.name} to")
    if path.suffix.lower() == ".mp4":
        _import_imageio()


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Writes pictures `[H, W, 3]` uint8 of equal size as a stream.

    Args:
      path: path with the suffix .mp4 (H.264) or .gif (half the size, repeating).
      frames: pictures, at least one.
      fps: pictures per second.

    Returns:
      Number of pictures.

    Raises:
      UserError: the suffix is not supported, or a package is missing.
    """
    check_video_path(path)
    if path.suffix.lower() == ".mp4":
        return _write_mp4(path, frames, fps)
    content, count = encode_gif(frames, fps)
    path.write_bytes(content)
    return count


def _write_mp4(path: Path, frames: Iterable[np.ndarray], fps: float) -> int:
    count = 0
    with (
        warnings.catch_warnings(),
        _import_imageio().get_writer(path, fps=fps, codec="libx264", quality=7) as writer,
    ):
        # JAX warns about forks, but ffmpeg is started by fork and exec, which is safe.
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        for frame in frames:
            writer.append_data(frame)
            count += 1
    return count


def encode_gif(frames: Iterable[np.ndarray], fps: float) -> tuple[bytes, int]:
    """Returns an animated GIF of half the size, repeating, and its number of pictures.

    Args:
      frames: pictures `[H, W, 3]` uint8 of equal size, at least one.
      fps: pictures per second.
    """
    images = [
        Image.fromarray(frame)
        .reduce(GIF_DOWNSCALING)
        .quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        for frame in frames
    ]
    content = io.BytesIO()
    images[0].save(
        content,
        "GIF",
        save_all=True,
        append_images=images[1:],
        # The unit of GIF is 10 ms.
        duration=max(20, round(100 / fps) * 10),
        loop=0,
    )
    return content.getvalue(), len(images)


def _import_imageio():
    try:
        import imageio
        import imageio_ffmpeg  # noqa: F401  the codec
    except ImportError as error:
        raise UserError(
            f"writing an mp4 needs the extra 'video': pip install 'mukoe[video]' ({error})"
        ) from error
    return imageio
