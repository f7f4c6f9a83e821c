"""Seeds of `--seeds`, written as `0..4` or `0,3,7`."""

import re

from mukoe.configuration.bounds import LARGEST_SEED
from mukoe.errors import UserError

MOST_SEEDS = 1_000
"""Largest number of seeds of one command."""

_PART = re.compile(r"(\d+)(?:\.\.(\d+))?")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds of a list of numbers and of ranges, whose ends are included.

    Raises:
      UserError: the text is no such list, or a range is reversed, a seed is repeated or too large,
        or there are more than `MOST_SEEDS`.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise UserError(f"--seeds={text!r} is no list of seeds: write 0..4 or 0,3,7")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise UserError(f"--seeds={text}: write the smaller seed first, as {last}..{first}")
        if last > LARGEST_SEED:
            raise UserError(f"--seeds={text}: a seed is at most {LARGEST_SEED}, not {last}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise UserError(f"--seeds={text} has more than {MOST_SEEDS} seeds: give fewer")
        seeds += range(first, last + 1)
    repeated = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if repeated is not None:
        raise UserError(f"--seeds={text} repeats seed {repeated}: give each seed once")
    return tuple(seeds)
