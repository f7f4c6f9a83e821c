"""Supported specs of servers, and the error messages of unsupported ones."""

import numpy as np
import pytest

pytest.importorskip("dm_env_rpc")

from dm_env import specs  # noqa: E402
from dm_env_rpc.v1 import dm_env_rpc_pb2, tensor_utils  # noqa: E402

from mukoe.environments.dm_env_rpc.decoder import Decoder  # noqa: E402
from mukoe.errors import UserError  # noqa: E402


def tensor(name, dtype=np.float32, shape=(), low=None, high=None):
    data_type = dm_env_rpc_pb2.STRING if dtype is str else tensor_utils.np_type_to_data_type(dtype)
    spec = dm_env_rpc_pb2.TensorSpec(name=name, shape=shape, dtype=data_type)
    for field, value in ((spec.min, low), (spec.max, high)):
        if value is not None:
            packer = tensor_utils.get_packer(np.dtype(dtype))
            packer.pack(field, np.asarray(value, dtype))
    return spec


REWARD, SIGHT = tensor("reward"), tensor("sight", shape=(2,))
CHOICE = tensor("choice", np.int32, low=0, high=2)


def make_decoder(actions=(CHOICE,), observations=(REWARD, SIGHT), **options):
    offered = dm_env_rpc_pb2.ActionObservationSpecs(
        actions=dict(enumerate(actions)), observations=dict(enumerate(observations, start=5))
    )
    return Decoder(offered, "server", **options)


@pytest.mark.parametrize(
    ("offered", "line"),
    [
        ({"observations": [SIGHT]}, "no observation 'reward', only sight"),
        ({"observations": [REWARD]}, "no observation beside reward.*it offers reward"),
        ({"observations": [tensor("reward", shape=(2,)), SIGHT]}, r"'reward' has shape \[2\]"),
        ({"observations": [REWARD, tensor("name", str)]}, "'name' has dtype STRING; supported"),
        ({"observations": [REWARD, tensor("x", shape=(-1,))]}, r"'x' has the variable shape \[-1"),
        (
            {"observations": [REWARD, SIGHT, tensor("eye", shape=(8, 8))]},
            r"'eye' has shape \[8, 8\].*choose among eye, sight by environment.observations",
        ),
        (
            {"observations": [REWARD, SIGHT, tensor("legal_actions", bool, (2,))]},
            r"'legal_actions' must be BOOL, one for each .*got 'legal_actions' BOOL \[2\]",
        ),
        (
            {"observations": [REWARD, SIGHT, tensor("action_repeat", np.int32, low=1, high=4)]},
            "'action_repeat' must have one number .* not 1 and 4",
        ),
        ({"actions": []}, "takes no action"),
        ({"actions": [tensor("word", str)]}, "action 'word' has dtype STRING"),
        ({"actions": [tensor("lamp", bool)]}, "'lamp' BOOL .*use an integer with minimum 0"),
        ({"actions": [tensor("force", low=-1)]}, r"'force' FLOAT \[\] min -1.0 is unbounded"),
        ({"actions": [tensor("n", np.int32)]}, r"'n' INT32 \[\] is unbounded"),
        ({"actions": [tensor("force", low=-np.inf, high=1)]}, "infinite bounds"),
        (
            {"actions": [tensor("n", np.int32, low=3, high=1)]},
            "invalid bounds: .*min 3 larger than",
        ),
        ({"actions": [CHOICE, tensor("force", low=0, high=1)]}, "integers and of floats at once"),
        (
            {"actions": [tensor("n", np.int64, (3,), low=0, high=99)]},
            "takes 1000000 actions; supported are at most 10000",
        ),
        ({"wanted": ("smell",)}, "offers no observation smell; it offers reward, sight"),
    ],
)
def test_one_line_names_what_is_wrong(offered, line):
    with pytest.raises(UserError, match=f"^server.*{line}") as caught:
        make_decoder(**offered)
    assert "\n" not in str(caught.value)


def unpacked(decoder, action):
    packed = decoder.encode_action(action)
    return {uid: np.asarray(tensor_utils.unpack_tensor(t)) for uid, t in packed.items()}


def test_choices_are_the_product_of_all_integers_in_the_order_of_names():
    vector = tensor("b", np.int64, (2,), low=[0, 5], high=[1, 7])
    decoder = make_decoder([vector, tensor("a", np.uint8, low=3, high=4)])
    assert decoder.spec.actions == specs.DiscreteArray(12, np.int32, name="action")
    got = unpacked(decoder, 6 + 3 + 2)
    assert got[0].tolist() == [1, 7] and got[0].dtype == np.int64
    assert got[1] == 4 and got[1].dtype == np.uint8 and got[1].shape == ()
    assert unpacked(decoder, 0)[0].tolist() == [0, 5] and unpacked(decoder, 0)[1] == 3


def test_continuous_actions_are_scaled_to_their_bounds():
    decoder = make_decoder(
        [
            tensor("a", np.float64, low=10, high=20),
            tensor("b", np.float32, (2,), low=-1, high=1),
        ]
    )
    assert decoder.spec.actions.shape == (3,)
    tiny = np.float32(1e-20)
    got = unpacked(decoder, np.float32([0.5, tiny, -7]))
    assert got[0] == 17.5 and got[0].dtype == np.float64
    # Bounds of -1 and 1 leave an action as it is, to the bit.
    assert got[1].tolist() == [tiny, -1.0]


def test_a_scalar_is_a_vector_of_one_number():
    height = tensor("height", np.int64)
    observations = make_decoder(observations=[REWARD, height]).spec.observations
    assert (observations.shape, observations.dtype) == ((1,), np.float32)


def answer(state, **values):
    uids = {"reward": 5, "sight": 6, "discount": 7}
    packed = {uids[name]: tensor_utils.pack_tensor(value) for name, value in values.items()}
    return dm_env_rpc_pb2.StepResponse(state=state, observations=packed)


SEEN = {"reward": np.float32(2), "sight": np.float32([1, 2])}


@pytest.mark.parametrize(
    ("state", "discount", "expected"),
    [
        (dm_env_rpc_pb2.RUNNING, None, (1, 1.0)),
        (dm_env_rpc_pb2.TERMINATED, None, (2, 0.0)),
        (dm_env_rpc_pb2.INTERRUPTED, None, (2, 1.0)),
        (dm_env_rpc_pb2.RUNNING, -1.0, (1, -1.0)),
        (dm_env_rpc_pb2.TERMINATED, 1.0, (2, 1.0)),
        (dm_env_rpc_pb2.INTERRUPTED, 0.0, (2, 0.0)),
    ],
)
def test_the_discount_is_that_of_the_server_or_follows_from_the_state(state, discount, expected):
    observations = [REWARD, SIGHT]
    values = dict(SEEN)
    if discount is not None:
        observations.append(tensor("discount", low=-1, high=1))
        values["discount"] = np.float32(discount)
    step = make_decoder(observations=observations).decode(answer(state, **values), False)
    assert (int(step.step_type), step.discount, step.reward) == (*expected, 2.0)


@pytest.mark.parametrize(
    ("state", "values", "line"),
    [
        (dm_env_rpc_pb2.RUNNING, {"reward": np.float32(0)}, "has no observation 'sight'"),
        (
            dm_env_rpc_pb2.RUNNING,
            {**SEEN, "sight": np.zeros(2)},
            r"'sight' must have shape \(2,\), dtype float32; got shape \(2,\), dtype float64",
        ),
        (dm_env_rpc_pb2.TERMINATED, SEEN, "a sequence started in state TERMINATED"),
    ],
)
def test_an_answer_that_is_not_what_was_offered(state, values, line):
    with pytest.raises(ValueError, match=line):
        make_decoder().decode(answer(state, **values), True)
