"""How inference servers batch, and how long actors wait for them."""

import dataclasses

from mukoe.errors import UserError


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
        if self.max_batch_size < 1:
            raise UserError(f"server.max_batch_size must be at least 1, not {self.max_batch_size}")
        for field in ("deadline_ms", "devices"):
            if getattr(self, field) < 0:
                raise UserError(f"server.{field} must not be negative, not {getattr(self, field)}")
        for field in ("timeout_seconds", "give_up_seconds"):
            if getattr(self, field) <= 0:
                raise UserError(f"server.{field} must be positive, not {getattr(self, field)}")
