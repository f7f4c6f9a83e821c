"""Environment configurations by name."""

import logging

import pytest

from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig, GymnasiumPixelsConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.registry import FAMILIES, list_environments, named_environment
from mukoe.errors import UserError


@pytest.mark.parametrize(
    ("config", "env", "expected"),
    [
        (
            DmEnvRpcConfig("dm_env_rpc://localhost:1", concatenate=False),
            "dm_env_rpc://[::1]:2",
            DmEnvRpcConfig("dm_env_rpc://[::1]:2", concatenate=False),
        ),
        (
            AtariConfig("Pong", sticky_actions=0.0),
            "Breakout",
            AtariConfig("Breakout", sticky_actions=0.0),
        ),
        (
            GymnasiumConfig("CartPole-v1", {"max_episode_steps": 9}),
            "Acrobot-v1",
            GymnasiumConfig("Acrobot-v1", {"max_episode_steps": 9}),
        ),
        (
            GymnasiumPixelsConfig("CartPole-v1", height=96),
            "Acrobot-v1",
            GymnasiumPixelsConfig("Acrobot-v1", height=96),
        ),
        (PgxConfig("go_9x9", "rollout"), "hex", PgxConfig("hex", "rollout")),
    ],
)
def test_a_name_of_the_same_family_keeps_the_other_fields(config, env, expected):
    assert named_environment(env, config) == expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("dm_env_rpc://a:1", DmEnvRpcConfig("dm_env_rpc://a:1")),
        ("connect_four", PgxConfig("connect_four")),
        ("Pong", AtariConfig("Pong")),
        ("Acrobot-v1", GymnasiumConfig("Acrobot-v1")),
        ("LunarLander", GymnasiumConfig("LunarLander-v3")),
        ("a.b:Mine-v0", GymnasiumConfig("a.b:Mine-v0")),
    ],
)
def test_a_name_selects_the_configuration_of_its_family(env, expected):
    current = [None, AtariConfig("Alien"), PgxConfig("2048"), DmEnvRpcConfig("dm_env_rpc://a:9")]
    for config in [*current, GymnasiumConfig("Taxi-v4")]:
        assert named_environment(env, config) == expected


@pytest.mark.parametrize("env", ["connect_four", "2048"])
def test_settings_that_a_game_does_not_have_are_replaced_by_defaults(env, caplog):
    config = PgxConfig("tic_tac_toe", opponent="exact", random_opening_moves=6)
    with caplog.at_level(logging.WARNING, "mukoe"):
        assert named_environment(env, config) == PgxConfig(env)
    assert f"{env} has the default settings" in caplog.text


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ("videochess", "did you mean VideoChess (Atari) or chess (pgx)?"),
        ("tictactoe", "did you mean tic_tac_toe (pgx) or TicTacToe3D (Atari)?"),
        ("breakout", "Breakout (Atari)"),
        ("breakout", "minatar-breakout (pgx)"),
        ("Breakout-MinAtar-v1", "minatar-breakout (pgx)"),
        ("connect4", "connect_four (pgx)"),
        ("PongNoFrameskip-v4", "did you mean Pong (Atari)?"),
        ("ALE/Pong-v5", "did you mean Pong (Atari)?"),
        ("LunarLander-v2", "LunarLander-v3 (Gymnasium)"),
        ("CartPoel-v1", "did you mean CartPole-v1 (Gymnasium)"),
        ("Quidditch-v0", "name its module: --env=MODULE:Quidditch-v0"),
        ("zzz", "no name is similar"),
        ("", "no name is similar"),
    ],
)
@pytest.mark.parametrize("config", [None, PgxConfig("2048")])
def test_unknown_names_are_answered_with_similar_ones_of_all_families(env, hint, config):
    with pytest.raises(UserError) as error:
        named_environment(env, config)
    assert f"there is no environment '{env}'" in str(error.value)
    assert hint in str(error.value)
    assert "mukoe environments lists all names" in str(error.value)


def test_every_listed_name_is_found():
    rows = [row for row in list_environments() if ":" not in row.name]
    assert {row.family for row in rows} == {"pgx", "Atari", "Gymnasium"}
    families = {family.title: family for family in FAMILIES}
    for name, title, _ in rows:
        family = families[title]
        assert getattr(named_environment(name), family.field) == name
        assert type(named_environment(name)) is type(family.make_config(name))


def test_the_list_is_filtered_by_name_family_and_note():
    assert {row.name for row in list_environments("BREAKOUT")} == {"Breakout", "minatar-breakout"}
    assert {row.family for row in list_environments("atari")} >= {"Atari"}
    assert {row.family for row in list_environments("2 players")} == {"pgx"}
    assert not list_environments("no such environment")
