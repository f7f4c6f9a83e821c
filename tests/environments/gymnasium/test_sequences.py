"""Observations of several parts, texts, sequences and images of choices."""

import pickle

import numpy as np
import pytest
from gymnasium import spaces

from mukoe.environments.gymnasium.observations import make_observation_encoder
from mukoe.environments.gymnasium.sequences import SequenceLimits
from mukoe.errors import UserError
from mukoe.types import ChoiceImage, SequenceArray, TokenArray
from tests.environments.gymnasium.landmarks import LANDMARKS, Landmarks


def encode(space, observation, **limits):
    spec, encoder = make_observation_encoder(space, "Fake-v0", SequenceLimits(**limits))
    encoded = encoder(observation)
    spec.validate(encoded)
    return spec, encoded


def test_a_dict_with_images_keeps_its_parts():
    spec, encoder = make_observation_encoder(Landmarks.observation_space, "Landmarks")
    kinds = {name: (type(part).__name__, part.shape) for name, part in spec.items()}
    assert kinds == {
        "picture": ("BoundedArray", (8, 8, 1)),
        "cells": ("ChoiceImage", (3, 3, 2)),
        "body": ("Array", (5,)),
        "flags": ("Array", (2,)),
        "objects": ("SequenceArray", (32, 3)),
        "mission": ("TokenArray", (20,)),
    }
    environment = Landmarks()
    observation, _ = environment.reset(seed=0)
    encoded = encoder(observation)
    for name, part in spec.items():
        part.validate(encoded[name])
    np.testing.assert_array_equal(encoded["picture"][..., 0], observation["picture"])
    np.testing.assert_array_equal(encoded["cells"], observation["cells"])
    assert encoded["body"][2:].sum() == 1


def test_a_matrix_in_a_dict_is_a_full_sequence_and_tuples_stay_tuples():
    space = spaces.Tuple([spaces.Box(-1, 1, (2, 3), np.float32), spaces.Text(2, charset="ab")])
    spec, encoder = make_observation_encoder(space, "Fake-v0")
    matrix, text = encoder((np.ones((2, 3), np.float32), "b"))
    assert isinstance(spec[0], SequenceArray) and matrix.shape == (2, 4)
    assert (matrix == 1).all() and text.tolist() == [2, 0]


def test_texts_are_characters_or_words():
    spec, encoded = encode(spaces.Text(5, charset="cab"), "abba")
    tokens = {
        character: i + 1 for i, character in enumerate(spaces.Text(5, charset="cab").character_list)
    }
    assert encoded.tolist() == [*(tokens[character] for character in "abba"), 0]
    assert (spec.shape, spec.num_values) == ((5,), 4)
    words = ("go", "to", "red")
    spec, encoded = encode(spaces.Text(40), "go TO the red", vocabulary=words, length=6)
    assert encoded.tolist() == [2, 3, 1, 4, 0, 0] and spec.num_values == 5


def test_sequences_are_padded_and_marked():
    space = spaces.Sequence(spaces.Discrete(2))
    spec, encoded = encode(space, (1, 0), length=3)
    assert encoded.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    stacked = spaces.Sequence(spaces.Box(0, 1, (1,), np.float32), stack=True)
    assert encode(stacked, np.float32([[0.5]]), length=2)[1].tolist() == [[1, 0.5], [0, 0]]
    assert encode(space, (), length=3)[1].sum() == 0


def test_choices_of_one_kind_in_all_places_are_an_image():
    space = spaces.MultiDiscrete(np.full((2, 2, 1), 3), start=np.full((2, 2, 1), 5))
    spec, encoded = encode(space, np.array([[[5], [6]], [[7], [5]]]))
    assert isinstance(spec, ChoiceImage) and spec.choices == (3,)
    assert encoded[..., 0].tolist() == [[0, 1], [2, 0]]
    different = spaces.MultiDiscrete(np.array([[[2], [3]]]))
    assert encode(different, np.array([[[1], [2]]]))[1].tolist() == [0, 1, 0, 0, 1]


TEXT = spaces.Text(3, charset="ab")
GRID = spaces.MultiDiscrete(np.full((2, 2, 1), 3))


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (TEXT, "abx", "characters outside its space: 'x'"),
        (TEXT, "abab", "has 4 tokens, and at most 3 fit"),
        (TEXT, 3, "must be a text; got int"),
        (spaces.Sequence(spaces.Discrete(2)), [0] * 33, "33 entries.*sequence_length"),
        (spaces.Sequence(spaces.Discrete(2)), 0, "must be a sequence; got int"),
        (spaces.Sequence(spaces.Discrete(2)), (2,), r"observation\[...\] must be in 0..1; got 2"),
        (GRID, np.full((2, 2, 1), 3), r"must be in 0..2 at \(0, 0, 0\); got 3"),
        (GRID, np.zeros((2, 1), int), r"integers of shape \(2, 2, 1\); got shape \(2, 1\)"),
        (spaces.Dict({"t": TEXT}), {}, "must have the parts 't'"),
        (spaces.Dict({"t": TEXT}), {"t": "x"}, r"observation\['t'\] has characters"),
        (spaces.Sequence(spaces.Box(0, 1, (2, 2))), (), "entries with at most one axis"),
        (spaces.Sequence(spaces.Text(2)), (), "supported are Box"),
    ],
)
def test_wrong_observations_get_one_line(space, observation, message):
    with pytest.raises(UserError, match=message) as error:
        encode(space, observation)
    assert "\n" not in str(error.value)


def test_specs_survive_pickling():
    for spec in (
        ChoiceImage((2, 2, 1), (3,), "cells"),
        TokenArray(4, 7, "text"),
        SequenceArray(4, 2, "objects"),
    ):
        copy = pickle.loads(pickle.dumps(spec))
        assert type(copy) is type(spec) and vars(copy).keys() == vars(spec).keys()
        assert (copy.shape, copy.dtype, copy.name) == (spec.shape, spec.dtype, spec.name)
        for field in ("choices", "num_values"):
            assert getattr(copy, field, None) == getattr(spec, field, None)


def test_vectors_of_environments_have_nests_of_batches():
    vector = LANDMARKS.make_factory()(0, 3, False)
    observation = vector.reset().observation
    assert observation["mission"].shape == (3, 20) and observation["objects"].shape == (3, 4, 3)
    assert vector.step(np.zeros(3, np.int32)).observation["cells"].dtype == np.int8
    vector.close()
