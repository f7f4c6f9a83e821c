"""Slots of sessions."""

import pytest

from mukoe.acting.inference import sessions as sessions_module
from mukoe.acting.inference.sessions import Sessions
from mukoe.errors import UserError


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(sessions_module.time, "monotonic", lambda: now[0])
    return now


def slots(sessions, name):
    return sessions.get(name).slots.tolist()


def test_no_room(clock):
    sessions = Sessions(1, 4, idle_seconds=60.0)
    sessions.open("a", 3)
    with pytest.raises(UserError, match="room for 4 environments: 3 are taken, and b requires 2"):
        sessions.open("b", 2)
    sessions.open("d", 1)
    assert slots(sessions, "a") == [0, 1, 2] and slots(sessions, "d") == [3]


def test_the_same_name_starts_anew(clock):
    sessions = Sessions(1, 4, idle_seconds=60.0)
    sessions.open("a", 3)
    old = sessions.get("a")
    old.is_blank = False
    assert sessions.open("a", 4) == [old]
    assert slots(sessions, "a") == [0, 1, 2, 3] and sessions.get("a").is_blank


def test_the_longest_idle_makes_room_where_it_is_needed(clock):
    sessions = Sessions(1, 4, idle_seconds=60.0)
    for name in "abcd":
        sessions.open(name, 1)
        clock[0] += 1
    sessions.get("a").last_used = clock[0]
    clock[0] += 58  # b has asked nothing for 61 seconds, c for 60, d for 59, a for 58.
    assert [ended.name for ended in sessions.open("e", 1)] == ["b"]
    assert slots(sessions, "e") == [1]
    with pytest.raises(UserError, match="b has no session"):
        sessions.get("b")
    with pytest.raises(UserError, match="room for 4"):
        sessions.open("f", 3)


def test_each_device_gets_its_share(clock):
    sessions = Sessions(2, 6, idle_seconds=60.0)
    for name, num_envs in (("a", 3), ("b", 1), ("c", 1), ("d", 2)):
        sessions.open(name, num_envs)
    assert [sessions.get(name).worker for name in "abcd"] == [0, 1, 1, 1]


def test_environments_that_may_ask_soon(clock):
    sessions = Sessions(1, 8, idle_seconds=60.0)
    sessions.open("a", 2)
    sessions.open("b", 3)
    assert sessions.expected(0) == 5
    sessions.get("a").is_waiting = True
    assert sessions.expected(0) == 3
    clock[0] += 2  # Its actor may have died.
    assert sessions.expected(0) == 0


def test_an_actor_steps_one_session_while_the_other_waits(clock):
    sessions = Sessions(1, 8, idle_seconds=60.0)
    for name, num_envs in (("actor_1/0", 2), ("actor_1/1", 1), ("actor_10/0", 3)):
        sessions.open(name, num_envs)
    assert sessions.expected(0) == 6
    sessions.get("actor_1/0").is_waiting = True
    assert sessions.expected(0) == 3
    sessions.get("actor_10/0").is_waiting = True
    assert sessions.expected(0) == 0
