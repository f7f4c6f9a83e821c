"""From the network input to the first state.

`mlp`    vectors: linear layers.
`board`  `[H, W, C]` of any size: one convolution, no down-sampling.
`flat`   `[H, W, C]` of a small board: flattened, then as `mlp`.
`small`  `[H, W, C]` pixels: down-sampling by 16 with three residual blocks; 64x64 becomes
         4x4. A laptop makes progress with it.
`large`  `[H, W, C]` pixels: the down-sampling of MuZero for Atari (arXiv:1911.08265,
         appendix F), eight residual blocks; 96x96 becomes 6x6.
`impala` `[H, W, C]` pixels: the deep network of IMPALA (Espeholt et al. 2018,
         arXiv:1802.01561, figure 3), one stage for each of the hidden sizes, each of which
         halves the image; then a linear layer to a vector.
"""

from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.pooling import average_pool, max_pool
from mukoe.networks.residual import layer_norm, residual_blocks

MINIMUM_PIXELS = 32
"""The least height and width of pixels; the state of `small` and `large` is then 2x2."""

TORSOS = ("mlp", "flat", "board", "small", "large", "impala")

_BLOCKS = {"small": (1, 1, 1), "large": (2, 3, 3)}
_PIXEL_TORSOS = (*_BLOCKS, "impala")


class MLPTorso(hk.Module):
    """Linear layers with layer normalisation, then one without to the state."""

    def __init__(self, hidden_sizes: Sequence[int], width: int, name: str | None = None):
        super().__init__(name=name)
        self._hidden_sizes = hidden_sizes
        self._width = width

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, ...]` to `[B, width]`."""
        x = jnp.reshape(x, (x.shape[0], -1))
        # Without a bias the first normalisation would hide how large the input is.
        first_bias = hk.initializers.TruncatedNormal(x.shape[-1] ** -0.5)
        for layer, size in enumerate(self._hidden_sizes):
            bias = first_bias if layer == 0 else jnp.zeros
            x = jax.nn.relu(layer_norm(hk.Linear(size, b_init=bias)(x)))
        return hk.Linear(self._width)(x)


class DownsamplingTorso(hk.Module):
    """Down-samples by 16.

    Convolution of stride 2 with `width / 2` channels, blocks, convolution of stride 2 with
    `width` channels, blocks, average pool, blocks, average pool. All kernels are 3x3.
    """

    def __init__(self, width: int, num_blocks: tuple[int, int, int], name: str | None = None):
        super().__init__(name=name)
        self._width = width
        self._num_blocks = num_blocks

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, ceil(H / 16), ceil(W / 16), width]`."""
        x = hk.Conv2D(self._width // 2, 3, stride=2)(x)
        x = residual_blocks(x, self._num_blocks[0])
        x = hk.Conv2D(self._width, 3, stride=2)(x)
        x = residual_blocks(x, self._num_blocks[1])
        x = average_pool(x)
        x = residual_blocks(x, self._num_blocks[2])
        return average_pool(x)


class ImpalaTorso(hk.Module):
    """Stages of a convolution, a max pool of stride 2 and two residual blocks.

    The blocks are those of IMPALA, without normalisation. A linear layer ends it.
    """

    def __init__(self, channels: Sequence[int], width: int, name: str | None = None):
        super().__init__(name=name)
        self._channels = channels
        self._width = width

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, width]`."""
        for channels in self._channels:
            x = hk.Conv2D(channels, 3)(x)
            x = max_pool(x)
            for _ in range(2):
                y = hk.Conv2D(channels, 3)(jax.nn.relu(x))
                x = x + hk.Conv2D(channels, 3)(jax.nn.relu(y))
        return hk.Linear(self._width)(hk.Flatten()(jax.nn.relu(x)))


def make_torso(
    torso: str, hidden_sizes: Sequence[int], width: int
) -> Callable[[jax.Array], jax.Array]:
    """Returns the module called `torso`; see the top of this file."""
    if torso in ("mlp", "flat"):
        return MLPTorso(hidden_sizes, width)
    if torso == "board":
        return hk.Conv2D(width, 3, name="board_torso")
    if torso == "impala":
        return ImpalaTorso(hidden_sizes, width)
    return DownsamplingTorso(width, _BLOCKS[torso])


def check_input(torso: str, spec: specs.Array) -> None:
    """Raises a UserError unless `torso` takes inputs of this spec, naming one that does."""
    shape = spec.shape
    if torso not in TORSOS:
        raise UserError(f"unknown torso {torso!r}; known are {', '.join(TORSOS)}")
    if torso == "mlp":
        if len(shape) > 1:
            fits = (
                "'board', 'small', 'large' or 'impala' take images"
                if len(shape) == 3
                else "flatten it"
            )
            raise UserError(f"torso 'mlp' takes vectors, not observations of shape {shape}; {fits}")
        return
    if len(shape) != 3:
        fits = "'mlp' takes vectors" if len(shape) < 2 else "add an axis of channels"
        raise UserError(
            f"torso {torso!r} takes images [H, W, C], not observations of shape {shape}; {fits}"
        )
    if torso in _PIXEL_TORSOS and min(shape[:2]) < MINIMUM_PIXELS:
        raise UserError(
            f"torso {torso!r} takes images of at least {MINIMUM_PIXELS}x{MINIMUM_PIXELS}, not "
            f"{shape[0]}x{shape[1]}; torso 'board' takes any size"
        )
