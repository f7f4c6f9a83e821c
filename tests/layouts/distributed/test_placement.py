"""Order of the inference servers of an actor."""

import collections

from mukoe.layouts.distributed.placement import servers_of


def test_actors_are_spread_over_the_servers_and_over_those_that_are_left():
    orders = [servers_of(actor, "abc") for actor in range(12)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert collections.Counter(order[0] for order in orders) == {"a": 4, "b": 4, "c": 4}
    for dead in "abc":
        orphans = collections.Counter(order[1] for order in orders if order[0] == dead)
        assert set(orphans.values()) == {2}
    assert servers_of(5, "a") == ["a"]
    assert servers_of(5, "") == []
