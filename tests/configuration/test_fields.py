"""Fields, plain values and overrides: round trips, bounds, one-line errors."""

import dataclasses
import json
import pickle
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from mukoe.configuration import apply_overrides, from_dict, to_dict, with_values
from mukoe.configuration.fields import Validated, describe
from mukoe.configuration.plain import is_importable
from mukoe.errors import UserError


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
    Agent(0.1, Gumbel(4, 2), 40.0, (1,), (96, 80), "large"),
    "ünï",
    2**40,
    True,
    {"frameskip": 4, "mode": "hard", "p": 0.25},
)


@pytest.mark.parametrize("config", [Config(), CHANGED])
def test_json_round_trip(config):
    assert from_dict(Config, json.loads(json.dumps(to_dict(config)))) == config
    assert from_dict(Config, to_dict(config)) == config


@pytest.mark.parametrize("part", [Short(1), Long(1, 2)])
def test_members_of_a_union_are_distinguished_by_their_fields(part):
    assert from_dict(Either, to_dict(Either(part))) == Either(part)


@pytest.mark.parametrize("group", [Puct(3), Gumbel(4, 5)])
def test_groups_annotated_with_any_name_their_class(group):
    plain = to_dict(Holder(group))
    assert plain["group"]["class"] == f"{__name__}:{type(group).__name__}"
    assert from_dict(Holder, plain) == Holder(group)
    assert with_values(Holder(), plain) == Holder(group)
    assert is_importable(Holder(group))


def test_classes_that_cannot_be_imported():
    @dataclasses.dataclass(frozen=True)
    class Local:
        count: int = 1

    config = Holder(Local(2))
    assert not is_importable(config)
    assert to_dict(config) == {"group": {"count": 2}}
    assert with_values(Holder(Local()), to_dict(config)) == config
    for name in (f"{__name__}:Missing", "no_such_module:Missing"):
        with pytest.raises(UserError, match=f"cannot import configuration class '{name}'"):
            from_dict(Holder, {"group": {"class": name}})


def test_plain_form():
    assert to_dict(Agent()) == {
        "learning_rate": 1e-3,
        "search": {"class": f"{__name__}:Puct", "num_simulations": 50, "noise": 0.25},
        "clip": None,
        "widths": [64, 64],
        "size": [84, 84],
        "kind": "small",
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
        ("name", "12", "12"),
        ("name", "", ""),
        ("dueling", "true", True),
        ("dueling", "False", False),
        ("dueling", "1", True),
        ("options", "{'mode': 'easy', 'sizes': (1, 2)}", {"mode": "easy", "sizes": (1, 2)}),
        ("options", "{}", {}),
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
            "learning_rate, search, clip, widths, size, kind",
        ),
        (
            "zzz",
            "1",
            "unknown config field 'zzz': the config has the fields "
            "agent, name, steps, dueling, options",
        ),
        (
            "lerning_rate",
            "1",
            "unknown config field 'lerning_rate': did you mean agent.learning_rate? the config has "
            "the fields agent, name",
        ),
        ("steps", "1.5", "steps must be an integer, not 1.5"),
        ("steps", "inf", "steps must be an integer, not 'inf'"),
        ("steps", "true", "steps must be an integer, not 'true'"),
        ("dueling", "yes!", "dueling must be true or false, not 'yes!'"),
        ("agent.clip", "x", "agent.clip must be a number or none, not 'x'"),
        ("agent.learning_rate", "none", "agent.learning_rate must be a number, not 'none'"),
        ("agent.kind", "huge", "agent.kind must be one of small, large, not 'huge'"),
        ("agent.widths", "1,a", "agent.widths must be a tuple (each: an integer), not '1,a'"),
        (
            "agent.size",
            "1,2,3",
            "agent.size must be a tuple of 2 (an integer, an integer), not (1, 2, 3)",
        ),
        ("agent.search", "3", "is a group; set one of its fields: num_simulations, noise"),
        (
            "options",
            "{..}",
            "config field 'options' is a mapping: give a dict, such as {'name': 1}, or one entry "
            "as options.NAME=VALUE, not '{..}'",
        ),
        ("options", "3", "config field 'options' is a mapping: give a dict"),
        ("options", "{1: 2}", "options must be"),
        ("steps.more", "3", "config field 'steps' is a value and has no field 'more'"),
        (
            "options.mode.deep",
            "3",
            "config field 'options' is a value and has no field 'mode.deep'",
        ),
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
        ({"steps": "3"}, "steps must be an integer, not '3'"),
        ({"steps": True}, "steps must be an integer, not True"),
        ({"steps": 1.0}, "steps must be an integer, not 1.0"),
        ({"dueling": 1}, "dueling must be true or false, not 1"),
        ({"agent": 3}, "agent must be a Agent, not 3"),
        ({"agent": {"clop": 3}}, "unknown config field 'agent.clop': did you mean clip"),
        ({"agent": {"size": [1]}}, "agent.size must be a tuple of 2"),
        ({"agent": {"search": {"depth": 3}}}, "unknown config field 'agent.search.depth'"),
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


def test_functions_cannot_be_written():
    with pytest.raises(TypeError, match="'options'"):
        to_dict(Config(options={"f": len}))


@dataclasses.dataclass(frozen=True)
class Bounded(Validated):
    count: Annotated[int, Meta(ge=1, le=8)] = 1
    share: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    limit: Annotated[float, Meta(gt=0)] | None = None
    sizes: tuple[Annotated[int, Meta(ge=1)], ...] = (1,)
    weights: Mapping[str, Annotated[float, Meta(ge=0)]] = dataclasses.field(default_factory=dict)
    free: float = 0.0
    mode: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class Holder:
    group: Any = Bounded()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 0, "must be from 1 to 8, not 0"),
        ("count", 9, "must be from 1 to 8, not 9"),
        ("count", 1.5, r"must be an integer \(from 1 to 8\), not 1.5"),
        ("count", 10**30, f"must be from 1 to 8, not {10**30}"),
        ("share", 1, "must be at least 0 and below 1, not 1"),
        ("limit", 0.0, "must be above 0, not 0.0"),
        ("limit", "x", r"must be a number \(above 0\) or none, not 'x'"),
        ("sizes", (1, 0), r"must be a tuple \(each: an integer \(at least 1\)\), not \(1, 0\)"),
        ("free", 1e39, r"must be a finite number \(float32\), not 1e\+39"),
        ("mode", "c", "must be one of a, b, not 'c'"),
    ],
)
def test_bounds_hold_on_construction_and_on_override(name, value, message):
    with pytest.raises(UserError, match=f"^Bounded.{name} {message}$"):
        Bounded(**{name: value})
    text = str(value).strip("()")
    with pytest.raises(UserError, match=f"^group.{name} {message}$"):
        apply_overrides(Holder(), {f"group.{name}": text})
    with pytest.raises(UserError, match=f"^group.{name} {message}$"):
        with_values(Holder(), {"group": {name: value}})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_are_finite(value):
    for name in ("share", "limit", "free"):
        with pytest.raises(UserError, match=f"Bounded.{name} must be"):
            Bounded(**{name: value})
    with pytest.raises(UserError, match="Bounded.weights must be"):
        Bounded(weights={"a": value})


def test_values_within_bounds_are_accepted():
    config = apply_overrides(
        Holder(),
        {"group.count": "8", "group.share": "0", "group.limit": "2", "group.weights.a": "0"},
    )
    assert config.group == Bounded(8, 0.0, 2.0, weights={"a": 0.0})
    assert apply_overrides(config, {"group.limit": "none"}).group.limit is None


def test_mappings_name_the_item():
    with pytest.raises(UserError, match=r"^group.weights.a must be at least 0, not -1"):
        apply_overrides(Holder(), {"group.weights.a": "-1"})


def test_types_in_words():
    assert describe(Annotated[int, Meta(ge=1)] | None) == "an integer (at least 1) or none"
    assert describe(Mapping[str, float]) == "a mapping (each: a number)"
    assert describe(Any) == "any value"


@pytest.mark.parametrize("meta", [Meta(ge=1), Meta(gt=0.5, le=2.0), Meta(min_length=1)])
def test_bounds_can_be_pickled_with_the_class_of_a_config(meta):
    assert pickle.loads(pickle.dumps(meta)) == meta
