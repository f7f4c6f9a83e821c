"""Configurations that lack fields."""

import dataclasses

from mukoe.configuration import load_config_file
from mukoe.configuration.plain import to_dict
from mukoe.configuration.workdir import flatten, nest
from mukoe.layouts.common.complete_config import complete_config


def values():
    config = load_config_file("configs/lunar_lander.py")
    agent = dataclasses.replace(
        config.agent, search=dataclasses.replace(config.agent.search, num_simulations=7)
    )
    return dict(flatten(to_dict(dataclasses.replace(config, agent=agent))))


def test_nested_values_are_those_that_were_flattened():
    assert nest(values()) == nest(dict(reversed(values().items())))
    assert dict(flatten(nest(values()))) == values()


def test_absent_fields_have_their_defaults():
    whole = values()
    absent = ("agent.search.evaluation_trees", "run.evaluation_max_steps", "sebulba.staleness")
    assert complete_config(whole) == whole
    assert complete_config({k: v for k, v in whole.items() if k not in absent}) == whole


def test_given_values_are_kept():
    whole = {**values(), "agent.search.evaluation_trees": 3}
    assert complete_config(whole)["agent.search.evaluation_trees"] == 3
    assert complete_config(whole)["agent.search.num_simulations"] == 7


def test_what_is_no_configuration_of_today_is_left_alone():
    for foreign in ({"agent.width": 8}, {**values(), "agent.removed": 1}, {}):
        assert complete_config(foreign) is foreign
