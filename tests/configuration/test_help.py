"""Help text: every field with its comment, type, bounds and value."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from mukoe.configuration import load_config_file
from mukoe.configuration.fields import Validated, describe, field_types
from mukoe.configuration.help import config_help, field_comments

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclasses.dataclass(frozen=True)
class Search(Validated):
    """Settings of the search."""

    # Model steps per decision,
    # per player.
    num_simulations: Annotated[int, Meta(ge=0, le=8)] = 2

    # Longest path.
    depth: Annotated[int, Meta(ge=1)] | None = None
    sizes: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True)
class DeepSearch(Search):
    """Settings of a deeper search.

    More of it.
    """

    # 'a' or 'b'.
    mode: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class Config:
    search: Any = DeepSearch()
    # Search of the opponent.
    other: Search = Search(3)
    # Name of the run.
    name: str = "x"


def test_text():
    assert config_help(Config(), "setting").splitlines()[1:] == [
        "Fields of --setting, set by --setting.FIELD=VALUE:",
        "    --setting.name=x",
        "        a string",
        "        Name of the run.",
        "",
        "search (DeepSearch): Settings of a deeper search.",
        "    --setting.search.num_simulations=2",
        "        an integer (from 0 to 8)",
        "        Model steps per decision, per player.",
        "    --setting.search.depth=none",
        "        an integer (at least 1) or none",
        "        Longest path.",
        "    --setting.search.sizes=1,2",
        "        a tuple (each: an integer)",
        "    --setting.search.mode=a",
        "        one of a, b",
        "        'a' or 'b'.",
        "",
        "other (Search): Search of the opponent.",
        "    --setting.other.num_simulations=3",
        *["        an integer (from 0 to 8)", "        Model steps per decision, per player."],
        "    --setting.other.depth=none",
        *["        an integer (at least 1) or none", "        Longest path."],
        "    --setting.other.sizes=1,2",
        "        a tuple (each: an integer)",
    ]


def test_comments_of_a_class_without_source():
    assert not field_comments(dataclasses.make_dataclass("Made", ["field"]))


def groups(config, prefix=""):
    yield prefix, config
    for name in field_types(type(config)):
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            yield from groups(value, f"{prefix}{name}.")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=[pytest.mark.distributed] if path.stem.startswith("cluster_vertex") else [],
        )
        for path in sorted(CONFIGS.rglob("*.py"))
    ],
)
def test_every_field_of_every_config(path):
    config = load_config_file(str(path))
    text = " ".join(config_help(config).split())
    for prefix, group in groups(config):
        comments = field_comments(type(group))
        for name, hint in field_types(type(group)).items():
            if not dataclasses.is_dataclass(getattr(group, name)):
                assert f"--config.{prefix}{name}=" in text
                assert f"{describe(hint)} {comments[name]}" in text
                assert comments[name], f"{type(group).__name__}.{name} has no comment"
