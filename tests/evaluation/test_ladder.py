"""Ladders of players of known strength, and of a small run."""

import csv
import io
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.environments.pgx.opponents import Opponent
from mukoe.errors import UserError
from mukoe.evaluation.elo import fit_elo
from mukoe.evaluation.ladder import LadderConfig, open_players, play_ladder, schedule
from mukoe.evaluation.ladder_files import (
    anchor_text,
    ladder_summary,
    ladder_svg,
    ladder_table,
    results_csv,
)
from mukoe.evaluation.players import Player, make_fixed_player
from mukoe.learning.checkpoint import Checkpointer
from tests.evaluation.tiny_runs import train


@pytest.mark.parametrize(
    ("steps", "count", "expected"),
    [
        ([1, 2, 3], 3, [1, 2, 3]),
        (range(101), 5, [0, 25, 50, 75, 100]),
        ([10, 20, 30], 2, [10, 30]),
        ([10, 20, 30], 1, [30]),
        ([], 3, []),
    ],
)
def test_checkpoints_are_spread(tmp_path, monkeypatch, steps, count, expected):
    monkeypatch.setattr(Checkpointer, "steps", lambda self: list(steps))
    assert Checkpointer(tmp_path).spread_steps(count) == expected


def test_schedules():
    players = [Player("random", id)] + [Player(str(i), id, learner_step=i) for i in range(4)]
    assert len(schedule(players, LadderConfig())) == 10
    pairs = schedule(players, LadderConfig(schedule="neighbours"))
    assert pairs == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)]


@pytest.fixture(scope="module")
def ladder():
    """Random play, perfect play, and perfect play that calls itself a checkpoint."""
    random, exact = (make_fixed_player(name, "tic_tac_toe", 0) for name in ("random", "exact"))
    agent = Player("step 3", exact.make, actor_steps=30, learner_step=3)
    reported = []
    config = LadderConfig(games=40, opponents=("random", "exact"), opening_moves=0)
    ladder = play_ladder(
        "tic_tac_toe", [random, exact, agent], config, lambda: reported.append(len(reported))
    )
    assert reported == [0, 1, 2]
    return ladder


def test_results_are_booked_by_seat(ladder):
    np.testing.assert_array_equal(ladder.results.sum(-1), 20 * (1 - np.eye(3)))
    assert np.all(ladder.results[0, 1:, 0] == 0)  # random began, and never won
    assert np.all(ladder.results[1:, 0, 2] == 0)
    assert np.all(ladder.results[1:, 0, 0] > ladder.results[0, 1:, 2])  # beginning helps
    np.testing.assert_array_equal(ladder.results[1, 2], [0, 20, 0])
    np.testing.assert_array_equal(ladder.results[2, 1], [0, 20, 0])


def test_ratings(ladder):
    rating, low, high = ladder.ratings.rating, ladder.ratings.low, ladder.ratings.high
    np.testing.assert_allclose(rating, fit_elo(ladder.results))
    assert rating[0] == low[0] == high[0] == 0
    assert np.all(rating[1:] > 150) and abs(rating[1] - rating[2]) < 150
    assert np.all(low <= high)


def test_tables_and_plot(ladder):
    summary = ladder_summary(ladder)
    assert (summary["anchor"], summary["games"]) == ("random", 40)
    rows = list(csv.DictReader(io.StringIO(results_csv(ladder))))
    assert len(rows) == 6
    for player in summary["players"]:
        name, points, games = player["player"], 0.0, 0
        for row in rows:
            won = {row["first"]: "first_wins", row["second"]: "second_wins"}.get(name)
            if won:
                points += int(row[won]) + int(row["draws"]) / 2
                games += sum(int(row[k]) for k in ("first_wins", "draws", "second_wins"))
        assert player["score"] == pytest.approx(points / games)
        assert player["games"] == games == 80
    lines = ladder_table(ladder).splitlines()
    elos = [float(line.split("[")[0].split()[-1]) for line in lines[1:]]
    assert elos == sorted(elos, reverse=True) and lines[-1].startswith("random")
    plot = ladder_svg(ladder)
    assert plot.count("<svg") == 1 and ">tic_tac_toe: Elo (random = 0)<" in plot
    # A point for the only checkpoint, and a level with its band for each fixed opponent.
    assert plot.count("<circle") == 1
    assert [plot.count(f'<path class="c{i}"') for i in range(3)] == [0, 1, 1]
    assert all(f">{name}</text>" in plot for name in ("agent", "random", "exact"))


def test_players_of_a_run(tmp_path_factory):
    workdir = train("tic_tac_toe", tmp_path_factory.getbasetemp())
    config = LadderConfig(checkpoints=3, opponents=("random", "rollout"), opponent_simulations=4)
    game, players = open_players(workdir, config)
    assert game == "tic_tac_toe"
    assert [player.name for player in players[:3]] == ["random", "rollout", "step 0"]
    assert players[1].simulations == 4
    agents = players[2:]
    assert len(agents) == 3 and len({agent.make for agent in agents}) == 1
    steps = [agent.actor_steps for agent in agents]
    assert steps == sorted(set(steps)) and steps[0] >= 100 and 400 <= steps[-1] < 408


@pytest.mark.slow
def test_runs_without_a_ladder(tmp_path, tmp_path_factory):
    cartpole = train("cartpole", tmp_path_factory.getbasetemp())
    with pytest.raises(UserError, match="needs a game of two players"):
        open_players(cartpole, LadderConfig())
    with pytest.raises(UserError, match="holds no experiment"):
        open_players(Path(tmp_path), LadderConfig())
    games = train("tic_tac_toe", tmp_path_factory.getbasetemp())
    with pytest.raises(UserError, match="a larger run.keep_checkpoints"):
        open_players(games, LadderConfig(checkpoints=1, opponents=()))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"games": 3}, "games must be even"),
        ({"games": 0}, "at least 2, not 0"),
        ({"checkpoints": 0}, "checkpoints must be at least 1"),
        ({"opponents": ("random", "perfect")}, "unknown opponent 'perfect'"),
        ({"opening_moves": -1}, "opening_moves must be from 0 to 1000"),
    ],
)
def test_configs_that_cannot_be(fields, message):
    with pytest.raises(UserError, match=message):
        LadderConfig(**fields)


def test_repeated_games_count_once_per_seat(caplog):
    """Two deterministic players: without an opening, one game in each seat."""

    def make(cells):
        return lambda _: Opponent(
            lambda size: jnp.zeros(size, jnp.int32),
            lambda key, game, observation, memory, is_first: (
                jnp.asarray(cells)[jnp.where(is_first, 0, memory)],
                jnp.where(is_first, 0, memory) + 1,
            ),
        )

    players = [Player("one", make([0, 1, 2])), Player("two", make([3, 4, 5]))]
    config = LadderConfig(games=6, opening_moves=0)
    ladder = play_ladder("tic_tac_toe", players, config)
    np.testing.assert_array_equal(ladder.results[1, 0], [1, 0, 0])
    np.testing.assert_array_equal(ladder.results[0, 1], [1, 0, 0])
    (record,) = caplog.records
    assert "1 of 1 matches are all the same and count as one" in record.message


def test_the_anchor_is_an_engine_of_known_strength():
    config = LadderConfig(games=4, opponents=("random",), anchor="bitbully", anchor_elo=2500.0)
    players = [make_fixed_player(name, "connect_four", 0) for name in config.fixed_players]
    assert [player.name for player in players] == ["bitbully", "random"]
    ladder = play_ladder("connect_four", players, config)
    rating = ladder.ratings.rating
    assert rating[0] == ladder.ratings.low[0] == 2500 and 1500 < rating[1] < 2500
    assert ladder.results.sum() == 4
    assert anchor_text(ladder) == "bitbully = 2500"
    assert ">connect_four: Elo (bitbully = 2500)<" in ladder_svg(ladder)
    assert ladder_summary(ladder)["anchor"] == "bitbully"
    assert ladder_summary(ladder)["anchor_elo"] == 2500


def test_an_anchor_among_the_opponents_comes_first():
    config = LadderConfig(opponents=("random", "rollout"), anchor="rollout")
    assert config.fixed_players == ("rollout", "random")
    with pytest.raises(UserError, match="unknown opponent 'step 3'.*gtp:COMMAND"):
        LadderConfig(anchor="step 3")
