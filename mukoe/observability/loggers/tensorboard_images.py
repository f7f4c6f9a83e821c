"""Pictures in TensorBoard's event files."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from mukoe.observability.loggers.tensorboard_logger import write_event_file


class EncodedImage(NamedTuple):
    """Encoded picture with its tag.

    tag: name in TensorBoard, such as `evaluation/episode`.
    data: content of a file that browsers show: PNG, GIF (also animated) or SVG.
    width: number of columns.
    height: number of rows.
    """

    tag: str
    data: bytes
    width: int
    height: int


def write_images(
    directory: str | os.PathLike[str], step: int, images: Sequence[EncodedImage]
) -> None:
    """Writes pictures to a new event file of a directory, which has no other kind of events.

    Args:
      directory: directory of the event files; it is made if missing.
      step: position on the axis of the run.
      images: pictures with different tags.

    Raises:
      OSError: the file cannot be written.
    """
    from tensorboard.compat.proto import summary_pb2

    values = [
        summary_pb2.Summary.Value(
            tag=image.tag,
            image=summary_pb2.Summary.Image(
                height=image.height,
                width=image.width,
                colorspace=3,
                encoded_image_string=image.data,
            ),
        )
        for image in images
    ]
    write_event_file(directory, step, summary_pb2.Summary(value=values))
