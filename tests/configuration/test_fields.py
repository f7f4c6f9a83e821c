"""Typed fields: JSON round trips, overrides, and the one line that a mistake gets."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from mukoe.configuration import apply_overrides, from_dict, from_json, to_dict, to_json
from mukoe.errors import UserError


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class Puct:
    num_simulations: int = 50
    noise: float = 0.25


@dataclasses.dataclass(frozen=True)
class Gumbel:
    num_simulations: int = 16
    max_considered: int = 8


@dataclasses.dataclass(frozen=True)
class Agent:
    learning_rate: float = 1e-3
    search: Puct | Gumbel = Puct()
    clip: float | None = None
    widths: tuple[int, ...] = (64, 64)
    size: tuple[int, int] = (84, 84)
    kind: Literal["small", "large"] = "small"
    colour: Colour = Colour.RED


@dataclasses.dataclass(frozen=True)
class Config:
    agent: Agent = Agent()
    name: str = "x"
    steps: int = 100
    dueling: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Long:
    a: int = 0
    b: int = 0


@dataclasses.dataclass(frozen=True)
class Short:
    a: int = 0


@dataclasses.dataclass(frozen=True)
class Either:
    part: Long | Short = Long()


CHANGED = Config(
    Agent(0.1, Gumbel(4, 2), 40.0, (1,), (96, 80), "large", Colour.BLUE),
    "ünï",
    2**40,
    True,
    {"frameskip": 4, "mode": "hard", "p": 0.25},
)


@pytest.mark.parametrize("config", [Config(), CHANGED])
def test_json_round_trip(config):
    assert from_json(Config, to_json(config)) == config
    assert from_dict(Config, to_dict(config)) == config


@pytest.mark.parametrize("part", [Short(1), Long(1, 2)])
def test_members_of_a_union_are_told_apart_by_their_fields(part):
    assert from_json(Either, to_json(Either(part))) == Either(part)


def test_plain_form():
    assert to_dict(Agent()) == {
        "learning_rate": 1e-3,
        "search": {"num_simulations": 50, "noise": 0.25},
        "clip": None,
        "widths": [64, 64],
        "size": [84, 84],
        "kind": "small",
        "colour": "RED",
    }


def test_left_out_fields_keep_their_defaults():
    assert from_dict(Config, {"agent": {"clip": 3}}) == Config(Agent(clip=3.0))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("steps", "16", 16),
        ("steps", "-3", -3),
        ("steps", "2e8", 200_000_000),
        ("steps", "12_000", 12_000),
        ("agent.learning_rate", "3", 3.0),
        ("agent.learning_rate", "1e-4", 1e-4),
        ("agent.search.num_simulations", "16", 16),
        ("agent.clip", "0.5", 0.5),
        ("agent.clip", "None", None),
        ("agent.widths", "1,2,3", (1, 2, 3)),
        ("agent.widths", "(256,)", (256,)),
        ("agent.widths", "()", ()),
        ("agent.size", "96, 80", (96, 80)),
        ("agent.kind", "large", "large"),
        ("agent.colour", "BLUE", Colour.BLUE),
        ("name", "12", "12"),
        ("name", "", ""),
        ("dueling", "true", True),
        ("dueling", "False", False),
        ("dueling", "1", True),
        ("options.mode", "easy", "easy"),
        ("options.frameskip", "(2, 5)", (2, 5)),
        ("options.sticky", "false", False),
    ],
)
def test_override(name, text, expected):
    value = apply_overrides(Config(), {name: text})
    for part in name.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value == expected
    assert type(value) is type(expected)


def test_overrides_leave_the_rest_alone():
    changed = apply_overrides(CHANGED, {"agent.search.max_considered": "5", "steps": "1"})
    search = dataclasses.replace(CHANGED.agent.search, max_considered=5)
    agent = dataclasses.replace(CHANGED.agent, search=search)
    assert changed == dataclasses.replace(CHANGED, agent=agent, steps=1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "agent.serch.noise",
            "1",
            "unknown config field 'agent.serch': did you mean search? agent has the fields "
            "learning_rate, search, clip, widths, size, kind, colour",
        ),
        (
            "zzz",
            "1",
            "unknown config field 'zzz': the config has the fields "
            "agent, name, steps, dueling, options",
        ),
        ("steps", "1.5", "config field 'steps' takes an integer, got '1.5'"),
        ("steps", "inf", "config field 'steps' takes an integer, got 'inf'"),
        ("steps", "true", "config field 'steps' takes an integer, got 'true'"),
        ("dueling", "yes!", "config field 'dueling' takes true or false, got 'yes!'"),
        ("agent.clip", "x", "config field 'agent.clip' takes a number or none, got 'x'"),
        ("agent.learning_rate", "none", "'agent.learning_rate' takes a number, got 'none'"),
        ("agent.kind", "huge", "'agent.kind' takes one of small, large, got 'huge'"),
        ("agent.colour", "GREEN", "'agent.colour' takes one of RED, BLUE, got 'GREEN'"),
        ("agent.widths", "1,a", "'agent.widths' takes an integer, got 'a'"),
        ("agent.size", "1,2,3", "'agent.size' takes a tuple of 2 (each: an integer)"),
        ("agent.search", "3", "is a group; set one of its fields: num_simulations, noise"),
        ("steps.more", "3", "config field 'steps' is a value and has no field 'more'"),
        ("options.mode.deep", "3", "config field 'options.mode' is a value and has no fields"),
        ("agent.", "3", "unknown config field 'agent.'"),
    ],
)
def test_mistakes_get_one_line(name, text, message):
    with pytest.raises(UserError) as caught:
        apply_overrides(Config(), {name: text})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": "3"}, "'steps' takes an integer, got '3'"),
        ({"steps": True}, "'steps' takes an integer, got True"),
        ({"steps": 1.0}, "'steps' takes an integer, got 1.0"),
        ({"dueling": 1}, "'dueling' takes true or false, got 1"),
        ({"agent": 3}, "'agent' takes a Agent, got 3"),
        ({"agent": {"clop": 3}}, "unknown config field 'agent.clop': did you mean clip"),
        ({"agent": {"size": [1]}}, "'agent.size' takes a tuple of 2"),
        ({"agent": {"search": {"depth": 3}}}, "'agent.search' takes a Puct or a Gumbel"),
    ],
)
def test_wrong_json_is_refused(values, message):
    with pytest.raises(UserError) as caught:
        from_dict(Config, values)
    assert message in str(caught.value)


def test_missing_field_without_default():
    @dataclasses.dataclass(frozen=True)
    class Needs:
        steps: int

    with pytest.raises(UserError, match="config field 'steps' is missing"):
        from_dict(Needs, {})


@pytest.mark.parametrize("text", ["{", "[]"])
def test_text_that_is_no_json_object(text):
    with pytest.raises(UserError, match="JSON"):
        from_json(Config, text)


def test_functions_cannot_be_written():
    with pytest.raises(TypeError, match="'options'"):
        to_dict(Config(options={"f": len}))
