"""Lists, describes and converts data sets.

mukoe datasets
mukoe datasets --describe=minari:cartpole/random-v0 --picture=episode.svg
mukoe datasets --convert=runs/cartpole --dataset=cartpole/muzero-v0
mukoe datasets --convert=minari:cartpole/muzero-v0 --config=cartpole --workdir=runs/copy

A source is `minari:NAME` or the workdir of a run with a stored replay.
"""

from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import DEFINE_config, run_main
from mukoe.configuration.bounds import LARGEST_COUNT
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.progress_line import erase_line, show_phase

CONFIG = DEFINE_config(None)
DESCRIBE = flags.DEFINE_string(
    "describe", None, "Source whose spaces, returns and lengths are printed."
)
PICTURE = flags.DEFINE_string(
    "picture", None, "SVG file of one episode of --describe: its frames or its curves."
)
EPISODE = flags.DEFINE_integer("episode", 0, "Index of the episode of --picture.", 0, LARGEST_COUNT)
CONVERT = flags.DEFINE_string(
    "convert", None, "Source that is converted: a workdir to --dataset, a data set to --workdir."
)
DATASET = flags.DEFINE_string("dataset", None, "Name of the data set that --convert writes.")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Workdir that --convert makes, of a run of --config."
)


def main() -> int:
    """Lists, describes or converts, and returns the exit status."""
    _check_flags()
    set_process_environment(process_environment())
    if DESCRIBE.value is not None:
        _describe(DESCRIBE.value)
    elif CONVERT.value is not None:
        _convert(CONVERT.value)
    else:
        _list()
    return 0


def _check_flags() -> None:
    if DESCRIBE.value is not None and CONVERT.value is not None:
        raise UserError("--describe and --convert exclude each other: give one of them")
    groups = (
        ("describe", DESCRIBE.value, ("picture", "episode")),
        ("convert", CONVERT.value, ("dataset", "workdir", "config")),
    )
    for needed, value, names in groups:
        given = [name for name in names if not flags.FLAGS[name].using_default_value]
        if given and value is None:
            raise UserError(f"--{given[0]} needs --{needed}=SOURCE")
    if PICTURE.value is not None and Path(PICTURE.value).suffix.lower() != ".svg":
        raise UserError(f"--picture must end with .svg, unlike '{PICTURE.value}'")
    if PICTURE.value and not Path(PICTURE.value).parent.is_dir():
        raise UserError(f"the folder of --picture does not exist: '{Path(PICTURE.value).parent}'")


def _list() -> None:
    from mukoe.replay.datasets.storage import dataset_names, read_metadata, root_folder

    names = list(dataset_names())
    erase_line()
    if not names:
        print(f"no data set in {root_folder()}; mukoe record writes one")
    width = max(map(len, names), default=0)
    for name in names:
        try:
            metadata = read_metadata(name)
        except UserError as error:
            print(f"{name:<{width}}  {error}")
            continue
        counts = f"{metadata.get('total_episodes')} episodes, {metadata.get('total_steps')} steps"
        print(f"{name:<{width}}  {counts}  {metadata.get('algorithm_name') or ''}".rstrip())


def _describe(text: str) -> None:
    from mukoe.evaluation.dataset_description import (
        dataset_source,
        describe,
        largest_array,
        replay_source,
    )
    from mukoe.layouts.common.offline_data import read_workdir
    from mukoe.layouts.common.offline_sources import parse_source
    from mukoe.replay.datasets.reader import open_raw
    from mukoe.system import write_atomically
    from mukoe.viewing.episode_chart import draw_stored_episode

    named = parse_source(text)
    show_phase("reading stored data")
    if named.kind == "minari":
        source = dataset_source(open_raw(named.name))
    else:
        source = replay_source(read_workdir(Path(named.name)))
    described = describe(source)
    if PICTURE.value:
        episode = source.episode(EPISODE.value)
        title = f"{source.title}, episode {EPISODE.value}, return {episode.episode_return:g}"
        observations = largest_array(episode.observations)
        picture = draw_stored_episode(observations, episode.actions, episode.rewards, title)
        write_atomically(Path(PICTURE.value), picture)
    erase_line()
    print(described)
    if PICTURE.value:
        print(PICTURE.value)


def _convert(text: str) -> None:
    from mukoe.layouts.common.offline_sources import parse_source
    from mukoe.layouts.local import dataset_conversion
    from mukoe.replay.datasets.writer import check_name

    source = parse_source(text)
    show_phase("reading stored data")
    if source.kind == "workdir":
        if not DATASET.value or WORKDIR.value or flags.FLAGS.config:
            raise UserError("a workdir is converted to a data set: give --dataset=NAME alone")
        check_name(DATASET.value)
        episodes, steps = dataset_conversion.to_dataset(Path(source.name), DATASET.value)
        erase_line()
        print(f"{DATASET.value}: {episodes:,} episodes, {steps:,} steps")
        return
    if not WORKDIR.value or DATASET.value or not flags.FLAGS.config:
        raise UserError("a data set is converted to a workdir: give --workdir and --config alone")
    workdir = Path(WORKDIR.value).expanduser().resolve()
    episodes = dataset_conversion.to_workdir(source.name, CONFIG.load(), CONFIG.filename, workdir)
    erase_line()
    print(f"{workdir}: {episodes:,} episodes")


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main, {"config": lambda: CONFIG.load() if flags.FLAGS.config else None})
