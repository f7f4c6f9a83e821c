"""Evaluation against an engine: episodes of matches on the host."""

from collections.abc import Callable

import jax

from mukoe.environments.repetition import warn_of_repetitions
from mukoe.evaluation.engine_matches import EngineMatches
from mukoe.evaluation.players import Player
from mukoe.types import EpisodeResult


def play_engine(
    matches: EngineMatches,
    player: Player,
    opponent: Player,
    episodes: int,
    seed: int,
    on_result: Callable[[EpisodeResult], None],
) -> list[EpisodeResult]:
    """Plays games in alternating seats.

    Args:
      matches: match, repeated up to the number of episodes.
      player: agent.
      opponent: engine.
      episodes: number of games.
      seed: seed of openings and agent.
      on_result: callback for each finished game.

    Returns:
      The results of the agent; one per seat if all games of each seat are equal.
    """
    results: list[EpisodeResult] = []
    checksums = []
    while len(results) < episodes:
        key = jax.random.fold_in(jax.random.PRNGKey(seed), len(results))
        games = matches.play(player, opponent, key, on_result)
        for index in range(len(games.moves[0])):
            for seat in (0, 1):
                results.append(games.result(seat, index))
                checksums.append((seat, int(games.checksums[seat, index])))
    results = results[:episodes]
    if len(set(checksums[:episodes])) > 2 or episodes <= 2:
        return results
    warn_of_repetitions(f"the {episodes} games of an evaluation")
    return results[:2]
