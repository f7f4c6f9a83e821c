"""Names of the data of a run without actors."""

from pathlib import Path

import pytest

from mukoe.errors import UserError
from mukoe.layouts.common.offline_sources import Source, canonical_text, parse_sources


def test_workdirs_data_sets_and_weights():
    here = str(Path("runs/a").resolve())
    assert parse_sources("runs/a") == [Source("workdir", here)]
    assert parse_sources("minari:cartpole/random-v0") == [Source("minari", "cartpole/random-v0")]
    assert parse_sources("runs/a:3, minari:x-v1:0.5") == [
        Source("workdir", here, 3.0),
        Source("minari", "x-v1", 0.5),
    ]
    assert parse_sources("runs/a,minari:x-v1") == [
        Source("workdir", here),
        Source("minari", "x-v1"),
    ]


def test_a_directory_with_a_strange_name_is_a_workdir(tmp_path):
    strange = tmp_path / "a,b:2"
    strange.mkdir()
    assert parse_sources(str(strange)) == [Source("workdir", str(strange))]


@pytest.mark.parametrize("text", ["runs/a", "runs/a:0.1,minari:x/y-v0:3e-05", "minari:x-v1"])
def test_the_text_of_sources_is_stable(text):
    once = canonical_text(text)
    assert canonical_text(once) == once
    assert parse_sources(once) == parse_sources(text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "a source is empty"),
        ("runs/a,,runs/b", "a source is empty"),
        ("minari:", "is no name of a Minari data set"),
        ("minari:cartpole", "'cartpole' is no name of a Minari data set"),
        ("minari:../x-v0", "is no name of a Minari data set"),
        ("runs/a:half", "the weight after the colon must be a number, not 'half'"),
        ("runs/a:0,runs/b:1", "the weight must be a positive number, not 0"),
        ("runs/a:-1", "the weight must be a positive number"),
        ("runs/a:nan", "the weight must be a positive number"),
        ("runs/a:inf", "the weight must be a positive number"),
        ("runs/a:1,runs/b", "give every source a weight, or none of them"),
    ],
)
def test_wrong_texts_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_sources(text)
