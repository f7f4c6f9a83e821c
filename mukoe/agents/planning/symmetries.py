"""Evaluations that are averaged over the symmetries of a board."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import mctx

from mukoe.environments.board_symmetries import Symmetry, board_symmetries
from mukoe.errors import UserError
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig
from mukoe.types import EnvironmentSpec, Nest, Params


def evaluation_symmetries(
    environment_spec: EnvironmentSpec,
    search: SearchConfig,
    history: HistoryConfig,
    has_memory: bool = False,
) -> tuple[Symmetry, ...]:
    """Returns the symmetries over which evaluation averages; `()` without a mean.

    Args:
      environment_spec: spec of one environment.
      search: settings of the search.
      history: past frames and actions in the network input.
      has_memory: True for an agent with a memory in front of the root.

    Raises:
      UserError: the game has no symmetries, or the network's input is more than boards.
    """
    if not search.evaluation_symmetries:
        return ()
    symmetries = board_symmetries(environment_spec)
    if not symmetries:
        raise UserError(
            "search.evaluation_symmetries needs a game with symmetries of the board (tic-tac-toe, "
            "Connect Four, Othello, Go, Hex, an own game with `symmetries`)"
        )
    if history.action_planes or has_memory:
        raise UserError(
            "search.evaluation_symmetries needs a network whose input is the board alone: set "
            "history.action_planes=false and memory.core=none in training"
        )
    return symmetries


def average_over(
    symmetries: Sequence[Symmetry], root: Callable[[Params, Nest], mctx.RootFnOutput]
) -> Callable[[Params, Nest], mctx.RootFnOutput]:
    """Returns a root function whose prior and value are the means over all images of the board.

    Args:
      symmetries: symmetries, of which the first one changes nothing; () for `root` itself.
      root: function `(params, boards [B, H, W, C]) -> RootFnOutput`. The embedding remains that
        of the board itself.
    """
    if not symmetries:
        return root
    actions = jnp.array([symmetry.actions for symmetry in symmetries])

    def averaged(params: Params, boards: Nest) -> mctx.RootFnOutput:
        batch_size = boards.shape[0]
        images = jnp.concatenate([symmetry.image(boards) for symmetry in symmetries])
        outputs = root(params, images)
        log_probs = jax.nn.log_softmax(outputs.prior_logits)
        log_probs = log_probs.reshape(len(symmetries), batch_size, -1)
        # Probability of each action of the board, in each image.
        log_probs = jnp.take_along_axis(log_probs, actions[:, None], axis=-1)
        values = outputs.value.reshape(len(symmetries), batch_size, *outputs.value.shape[1:])
        return dataclasses.replace(
            outputs,
            prior_logits=jax.nn.logsumexp(log_probs, axis=0) - jnp.log(len(symmetries)),
            value=values.mean(axis=0),
            embedding=jax.tree.map(lambda leaf: leaf[:batch_size], outputs.embedding),
        )

    return averaged
