"""Torsos: from the network input to features.

`mlp`      vectors: linear layers with layer normalisation.
`tanh_mlp` inputs of any shape: linear layers with tanh (PPO for classic control).
`board`    `[H, W, C]` of any size: one convolution, no down-sampling.
`flat`     `[H, W, C]` of a small board: flattened, then as `mlp`.
`small`    `[H, W, C]` pixels: down-sampling by 16 with three residual blocks; 64x64 becomes
           4x4. A laptop makes progress with it.
`large`    `[H, W, C]` pixels: the down-sampling of MuZero for Atari (arXiv:1911.08265,
           appendix F), eight residual blocks; 96x96 becomes 6x6.
`nature`   `[H, W, C]` pixels: the convolutions of DQN (Mnih et al., Nature 2015) and a linear
           layer to a vector.
`nature_norm` `[H, W, C]` pixels: `nature` with layer normalisation. Two cores train it with seven
           times the samples per second of `small`.
`impala`   `[H, W, C]` pixels: the deep network of IMPALA (Espeholt et al. 2018,
           arXiv:1802.01561, figure 3), one stage for each of the hidden sizes, each of which
           halves the image; then a linear layer to a vector.
`grid`     `[H, W, C]` of a small grid: two layers on 3x3 patches. They are linear layers, whose
           gradient is fast within a loop on CPUs, where that of a convolution is not.
`minatar`  `[H, W, C]` of a small grid: one convolution of 16 channels, then as `mlp`. At equal
           steps it learns more of MinAtar than `flat`.
`sequence` sequences `[L, 1 + D]`, whose first number marks entries that are not padding: two
           convolutions along the sequence, mean and maximum over its entries.

Torsos with self-attention are `patch_transformer`, `residual_attention` (images) and
`entity_transformer` (sequences), see `mukoe.networks.attention_torsos`.

All agents share these torsos. A torso of another module is a class with the members of `Torso`;
its name in the configuration is `package.module:attribute`.
"""

from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.configuration.registry import Registry
from mukoe.errors import UserError
from mukoe.networks.attention_torsos import (
    EntityTransformerTorso,
    PatchTransformerTorso,
    ResidualAttentionTorso,
)
from mukoe.networks.pooling import average_pool, max_pool
from mukoe.networks.residual import layer_norm, residual_blocks
from mukoe.networks.torso import IMAGE, SEQUENCE, VECTOR, Torso, TorsoConfig


class MLPTorso(hk.Module):
    """Linear layers with layer normalisation and ReLU, then a linear layer to `width`."""

    input_rank: ClassVar[int | None] = VECTOR
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._config = config

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, ...]` to `[B, width]`."""
        x = jnp.reshape(x, (x.shape[0], -1))
        # Without a bias the first normalisation would hide how large the input is.
        first_bias = hk.initializers.TruncatedNormal(x.shape[-1] ** -0.5)
        for layer, size in enumerate(self._config.hidden_sizes):
            bias = first_bias if layer == 0 else jnp.zeros
            x = jax.nn.relu(layer_norm(hk.Linear(size, b_init=bias)(x)))
        return hk.Linear(self._config.width)(x)


class FlatTorso(MLPTorso):
    """`MLPTorso` on a flattened image."""

    input_rank: ClassVar[int | None] = IMAGE

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(config, name or "mlp_torso")


class MinAtarTorso(MLPTorso):
    """A 3x3 convolution of 16 channels (Young and Tian 2019, arXiv:1903.03176), then `MLPTorso`."""

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 3
    channels: ClassVar[int] = 16

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(config, name or "minatar_torso")

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, width]`."""
        return super().__call__(jax.nn.relu(hk.Conv2D(self.channels, 3, padding="VALID")(x)))


class TanhMLPTorso:
    """Linear layers with tanh, the last one of the features' width.

    Weights begin orthogonal with scale √2, biases at 0 (The 37 Implementation Details of PPO,
    core 2).
    """

    input_rank: ClassVar[int | None] = None
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        self._hidden_sizes = config.hidden_sizes
        self._name = name or "tanh_mlp_torso"

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, ...]` to `[B, hidden_sizes[-1]]`."""
        x = hk.Flatten()(x)
        for layer, size in enumerate(self._hidden_sizes):
            x = jnp.tanh(orthogonal_linear(size, np.sqrt(2), f"{self._name}_{layer}")(x))
        return x


class BoardTorso:
    """One 3x3 convolution."""

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        self._layer = hk.Conv2D(config.width, 3, name=name or "board_torso")

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, H, W, width]`."""
        return self._layer(x)


class SmallTorso(hk.Module):
    """Down-samples by 16.

    Convolution of stride 2 with `width / 2` channels, blocks, convolution of stride 2 with
    `width` channels, blocks, average pool, blocks, average pool. All kernels are 3x3.
    """

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 32  # Features of 2x2.
    num_blocks: ClassVar[tuple[int, int, int]] = (1, 1, 1)

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name or "downsampling_torso")
        self._width = config.width

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, ceil(H / 16), ceil(W / 16), width]`."""
        x = hk.Conv2D(self._width // 2, 3, stride=2)(x)
        x = residual_blocks(x, self.num_blocks[0])
        x = hk.Conv2D(self._width, 3, stride=2)(x)
        x = residual_blocks(x, self.num_blocks[1])
        x = average_pool(x)
        x = residual_blocks(x, self.num_blocks[2])
        return average_pool(x)


class LargeTorso(SmallTorso):
    """`SmallTorso` with the number of blocks in MuZero's appendix F."""

    num_blocks: ClassVar[tuple[int, int, int]] = (2, 3, 3)


class NatureTorso:
    """The convolutions of DQN and a linear layer, each followed by a ReLU.

    Weights begin orthogonal with scale √2, biases at 0, as in `TanhMLPTorso`.
    """

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 36  # Features of 1x1 before the linear layer.

    def __init__(self, config: TorsoConfig, name: str | None = None):
        self._width = config.width
        self._name = name or "features"

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, width]`."""
        for channels, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            initial = hk.initializers.Orthogonal(np.sqrt(2))
            x = hk.Conv2D(channels, kernel, stride, padding="VALID", w_init=initial)(x)
            x = jax.nn.relu(x)
        return jax.nn.relu(orthogonal_linear(self._width, np.sqrt(2), self._name)(hk.Flatten()(x)))


class NormalizedNatureTorso(hk.Module):
    """The convolutions of DQN and a linear layer, each followed by layer normalisation and a ReLU.

    The linear layer has no ReLU, so that states keep their sign.
    """

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 36  # Features of 1x1 before the linear layer.

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._width = config.width

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, width]`."""
        for channels, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            x = hk.Conv2D(channels, kernel, stride, padding="VALID")(x)
            x = jax.nn.relu(layer_norm(x))
        return layer_norm(hk.Linear(self._width)(hk.Flatten()(x)))


class ImpalaTorso(hk.Module):
    """Stages of a convolution, a max pool of stride 2 and two residual blocks.

    The blocks are those of IMPALA, without normalisation. A linear layer ends it.
    """

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 32

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._config = config

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, width]`."""
        for channels in self._config.hidden_sizes:
            x = hk.Conv2D(channels, 3)(x)
            x = max_pool(x)
            for _ in range(2):
                y = hk.Conv2D(channels, 3)(jax.nn.relu(x))
                x = x + hk.Conv2D(channels, 3)(jax.nn.relu(y))
        return hk.Linear(self._config.width)(hk.Flatten()(jax.nn.relu(x)))


class GridTorso(hk.Module):
    """Two layers on patches of 3x3, each followed by a ReLU; the edges are padded with zeros."""

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._width = config.width

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, H, W, width]`."""
        height, width = x.shape[1:3]
        for _ in range(2):
            padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            patches = [
                padded[:, row : row + height, column : column + width]
                for row in range(3)
                for column in range(3)
            ]
            x = jax.nn.relu(hk.Linear(self._width)(jnp.concatenate(patches, axis=-1)))
        return x


class SequenceTorso(hk.Module):
    """Two convolutions along a sequence of bounded length, then mean and maximum over its entries.

    Entries have learned positions. Padding is masked after every layer, so that a longer padding
    changes nothing.
    """

    input_rank: ClassVar[int | None] = SEQUENCE
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._width = config.width

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, L, 1 + D]`, where `x[..., 0]` is 1 for entries and 0 for padding."""
        mask = x[..., :1]
        initial = hk.initializers.TruncatedNormal(0.1)
        positions = hk.get_parameter("positions", (x.shape[1], self._width), init=initial)
        x = mask * (hk.Linear(self._width)(x) + positions)
        for _ in range(2):
            # As linear layers: the gradient of a convolution within a loop is slow on CPUs.
            padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
            neighbours = jnp.concatenate([padded[:, :-2], x, padded[:, 2:]], axis=-1)
            x = mask * jax.nn.relu(hk.Linear(self._width)(neighbours))
        mean = jnp.sum(x, axis=1) / jnp.maximum(jnp.sum(mask, axis=1), 1.0)
        # No entry is negative: the maximum over none is 0.
        return hk.Linear(self._width)(jnp.concatenate([mean, jnp.max(x, axis=1)], axis=-1))


TORSOS: Registry[type[Torso]] = Registry(
    "torso",
    {
        "mlp": MLPTorso,
        "tanh_mlp": TanhMLPTorso,
        "flat": FlatTorso,
        "board": BoardTorso,
        "small": SmallTorso,
        "large": LargeTorso,
        "grid": GridTorso,
        "minatar": MinAtarTorso,
        "nature": NatureTorso,
        "nature_norm": NormalizedNatureTorso,
        "impala": ImpalaTorso,
        "sequence": SequenceTorso,
        "patch_transformer": PatchTransformerTorso,
        "residual_attention": ResidualAttentionTorso,
        "entity_transformer": EntityTransformerTorso,
    },
)
"""Torsos by the name that `torso` of a network configuration gives them."""


def orthogonal_linear(size: int, scale: float, name: str) -> hk.Linear:
    """Returns a linear layer whose weights begin orthogonal with `scale`, biases at 0."""
    return hk.Linear(size, w_init=hk.initializers.Orthogonal(scale), name=name)


def small_image_torso(shape: tuple[int, ...]) -> str:
    """Returns the name of a cheap torso for images `[H, W, C]` of any size."""
    for name in ("nature_norm", "small"):
        if min(shape[:2]) >= TORSOS[name].least_size:
            return name
    return "grid"


def check_input(name: str, spec: specs.Array) -> None:
    """Checks that a torso takes inputs of a spec.

    Args:
      name: name of the torso in the configuration.
      spec: spec of one network input, without the batch axis.

    Raises:
      UserError: the torso is unknown or takes other inputs; the message names one that fits.
    """
    torso, shape = TORSOS[name], spec.shape
    if torso.input_rank == VECTOR and len(shape) > 1:
        fits = "flatten it"
        if len(shape) == IMAGE:
            names = [other for other in TORSOS.names if TORSOS[other].input_rank == IMAGE]
            fits = f"{', '.join(map(repr, names))} take images"
        raise UserError(f"torso {name!r} takes vectors, not observations of shape {shape}; {fits}")
    if torso.input_rank == SEQUENCE and len(shape) != SEQUENCE:
        raise UserError(
            f"torso {name!r} takes sequences [L, 1 + D], not observations of shape {shape}"
        )
    if torso.input_rank == IMAGE and len(shape) != IMAGE:
        fits = "'mlp' takes vectors" if len(shape) < 2 else "add an axis of channels"
        raise UserError(
            f"torso {name!r} takes images [H, W, C], not observations of shape {shape}; {fits}"
        )
    if torso.input_rank == IMAGE and min(shape[:2]) < torso.least_size:
        raise UserError(
            f"torso {name!r} takes images of at least {torso.least_size}x{torso.least_size}, not "
            f"{shape[0]}x{shape[1]}; torso 'board' takes any size"
        )
