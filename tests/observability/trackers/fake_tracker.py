"""Workdirs of runs in progress, and a tracker in memory that can be down."""

import json

from mukoe.configuration.workdir import VERSION
from mukoe.observability.loggers.csv_logger import CsvLogger
from mukoe.observability.loggers.tensorboard_images import EncodedImage, write_images

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x00\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


def make_workdir(folder, loggers=("csv",)):
    """Returns a workdir with rows of a learner and an evaluator, a video and a checkpoint."""
    folder.mkdir()
    config = {"run": {"seed": 3, "loggers": list(loggers)}, "agent": {"widths": [1, 2]}}
    (folder / "config.json").write_text(json.dumps({"version": VERSION, "config": config}))
    add_rows(folder, "learner", [(100, 1.0), (200, 2.0)], value_loss=0.5)
    add_rows(folder, "evaluator", [(200, 3.0)], episode_return=9.0)
    pictures = [EncodedImage("evaluation/episode", GIF, 1, 1), EncodedImage("tree", b"<svg>", 1, 1)]
    write_images(folder / "tensorboard" / "pictures", 200, pictures)
    best = folder / "checkpoints" / "best" / "7"
    best.mkdir(parents=True)
    (best / "params").write_text("parameters")
    return folder


def add_rows(workdir, label, places, **metrics):
    """Appends rows with (agent steps, wall time) of one node, as its logger does."""
    logger = CsvLogger(workdir / "logs" / f"{label}.csv", "actor_steps")
    for steps, wall_time in places:
        logger.write({"actor_steps": steps, **metrics, "wall_time": wall_time})
    logger.close()


class FakeService:
    """Service that keeps what it receives, by identifier of the run.

    calls_until_error: number of calls that succeed before the service is down.
    """

    def __init__(self, calls_until_error=10**9):
        self.runs = {}
        self.opened = 0
        self.calls_until_error = calls_until_error

    def check_access(self):
        pass

    def call(self):
        self.calls_until_error -= 1
        if self.calls_until_error < 0:
            raise RuntimeError("server unreachable\nfor now")

    def open_run(self, description):
        self.call()
        self.opened += 1
        return FakeRun(self, self.runs.setdefault(description.run_id, []), description)

    @property
    def only_run(self):
        (entries,) = self.runs.values()
        return entries


class FakeRun:
    def __init__(self, service, entries, description):
        self.service, self.entries, self.description = service, entries, description

    def log(self, metrics, steps):
        self.service.call()
        self.entries.append((steps, dict(metrics)))

    def log_video(self, name, file, steps):
        self.service.call()
        self.entries.append((steps, name, file.read_bytes()))

    def log_checkpoint(self, folder):
        self.service.call()
        self.entries.append(sorted(path.name for path in folder.iterdir()))

    def finish(self):
        self.service.call()
        self.entries.append("finished")
