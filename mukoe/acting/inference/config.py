"""How inference servers batch, and how long actors wait for them."""

import dataclasses

from mukoe.configuration.bounds import LONGEST_WAIT, check_numbers


@dataclasses.dataclass(frozen=True)
class InferenceConfig:
    """How requests become batches, and how long anybody waits."""

    # Environments in a batch at most.
    max_batch_size: int = 64
    # A batch that is not full leaves when its oldest request has waited this long.
    deadline_ms: float = 5.0
    # Devices of the server's process that serve, side by side; 0 for all.
    devices: int = 0
    # An answer that takes longer than this is an error, for the server and for the client;
    # a session that has asked nothing for as long makes room where it is needed.
    timeout_seconds: float = 60.0
    # An actor that no server has answered for this long gives up; one that compiles does answer.
    give_up_seconds: float = 120.0

    def __post_init__(self) -> None:
        group = "server."
        check_numbers(self, "max_batch_size", at_least=1, group=group)
        check_numbers(self, "devices", at_least=0, group=group)
        check_numbers(self, "deadline_ms", at_least=0, at_most=1e3 * LONGEST_WAIT, group=group)
        seconds = ("timeout_seconds", "give_up_seconds")
        check_numbers(self, *seconds, above=0, at_most=LONGEST_WAIT, group=group)
