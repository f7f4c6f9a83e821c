"""Filling of the table of demonstrations of a Reverb server."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import reverb

from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.episodes import add_episode
from mukoe.replay.handle import never
from mukoe.replay.reverb.adder import ReverbAdder
from mukoe.replay.reverb.tables import demonstration_table
from mukoe.types import Row

_TIMEOUT_SECONDS = 60


def num_items(declaration: ReplayDeclaration, episodes: Sequence[Row]) -> int:
    """Returns the number of items of episodes `[L+1, ...]`.

    Args:
      declaration: declaration of the items.
      episodes: rows of each episode.
    """
    return sum(-(-(len(episode.mask) - 1) // declaration.period) for episode in episodes)


def fill_demonstrations(
    client: reverb.Client,
    declaration: ReplayDeclaration,
    row_spec: Row,
    episodes: Iterable[Row],
    count: int,
    should_stop: Callable[[], bool] = never,
) -> None:
    """Adds episodes to the table of demonstrations, unless a checkpoint holds them already.

    A table that holds a part of them is emptied first.

    Args:
      client: client of the server.
      declaration: declaration of the replay.
      row_spec: specs of a row.
      episodes: rows `[L+1, ...]` of each episode, with the extras of the agent.
      count: number of their items.
      should_stop: predicate that ends the filling.
    """
    table = demonstration_table(declaration)
    size = client.server_info(_TIMEOUT_SECONDS)[table].current_size
    if size == count:
        return
    if size:
        client.reset(table)
    filled = declaration.filled(declaration.demonstrated_items, capacity=count, min_size=count)
    adder = ReverbAdder(client, dataclasses.replace(filled, table=table), row_spec, should_stop)
    for episode in episodes:
        if should_stop():
            return
        add_episode(adder, episode)
    adder.flush()
