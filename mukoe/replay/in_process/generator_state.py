"""State of a NumPy generator as an array, for checkpoints."""

import numpy as np


def generator_state(random: np.random.Generator) -> np.ndarray:
    """Returns the state of a Philox generator as `[13]` uint64."""
    state = random.bit_generator.state
    rest = [state["buffer_pos"], state["has_uint32"], state["uinteger"]]
    parts = [state["state"]["counter"], state["state"]["key"], state["buffer"], rest]
    return np.concatenate([np.asarray(part, np.uint64) for part in parts])


def set_generator_state(random: np.random.Generator, state: np.ndarray) -> None:
    """Sets the state of a Philox generator to that of `generator_state`."""
    state = np.asarray(state, np.uint64)
    random.bit_generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": state[:4], "key": state[4:6]},
        "buffer": state[6:10],
        "buffer_pos": int(state[10]),
        "has_uint32": int(state[11]),
        "uinteger": int(state[12]),
    }
