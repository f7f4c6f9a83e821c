"""Symmetries of a board: images of samples as more data, and means of evaluations."""

import dataclasses
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.agents.planning.augmentation import AugmentationConfig
from mukoe.environments.board_symmetries import Symmetry, board_symmetries
from mukoe.errors import UserError
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig
from mukoe.types import (
    Array,
    EnvironmentSpec,
    LossExtra,
    LossFunction,
    Nest,
    Params,
    Sample,
    split_legal_actions,
)

_GAMES = (
    "a game with symmetries of the board (tic-tac-toe, Connect Four, Othello, Go, Hex, 2048, an "
    "own game with `symmetries`)"
)


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
        raise UserError(f"search.evaluation_symmetries needs {_GAMES}")
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


def training_symmetries(
    environment_spec: EnvironmentSpec,
    augmentation: AugmentationConfig,
    search: SearchConfig,
    has_memory: bool = False,
) -> tuple[Symmetry, ...]:
    """Returns the symmetries that augment samples; `()` without that augmentation.

    Args:
      environment_spec: spec of one environment.
      augmentation: switch of the symmetries.
      search: settings of the search.
      has_memory: True for an agent with a memory in front of the root.

    Raises:
      UserError: the game has no symmetries, its search has candidates, or the agent has a memory,
        whose stored state is that of the board itself.
    """
    if not augmentation.symmetries:
        return ()
    symmetries = board_symmetries(environment_spec)
    if not symmetries or search.num_candidates:
        raise UserError(
            f"augmentation.symmetries needs {_GAMES}, and a search over all actions: set it to "
            "false, or search.num_candidates=0"
        )
    if has_memory:
        raise UserError(
            "augmentation.symmetries is for agents without a memory: set it to false, or "
            "memory.core=none"
        )
    return symmetries


def with_random_symmetries(loss: LossFunction, symmetries: Sequence[Symmetry]) -> LossFunction:
    """Returns the loss of samples whose sequences are replaced by one of their images each.

    AlphaGo Zero (Silver et al. 2017, methods, "Optimisation") and AlphaZero for Go train on all
    images of a position. The values of a board and of its images are the same.

    Args:
      loss: loss function.
      symmetries: symmetries of the game; () for the loss itself.
    """
    if not symmetries:
        return loss

    def of_images(
        params: Params, target_params: Params, sample: Sample, key: chex.PRNGKey
    ) -> tuple[Array, LossExtra]:
        batch = sample.rows.action.shape[:1]
        key, symmetry_key = jax.random.split(key)
        drawn = jax.random.randint(symmetry_key, batch, 0, len(symmetries))
        return loss(params, target_params, image_of_sample(sample, symmetries, drawn), key)

    return of_images


def image_of_sample(sample: Sample, symmetries: Sequence[Symmetry], drawn: Array) -> Sample:
    """Returns the images of sequences: observations, actions and search policies.

    Args:
      sample: batch of `B` sequences.
      symmetries: symmetries of the game.
      drawn: `[B]` int32, index of the symmetry of each sequence.
    """
    rows = sample.rows
    features, legal_actions = split_legal_actions(rows.observation)
    actions = jnp.array([symmetry.actions for symmetry in symmetries])[drawn]
    origins = jnp.argsort(actions, axis=1)[:, None]  # [B, 1, A], action of the board by its image
    features = _images(jnp.asarray(features), symmetries, drawn)
    policies = jnp.take_along_axis(rows.extras["search_policy"], origins, axis=-1)
    observation = features
    if legal_actions is not None:
        legal = jnp.take_along_axis(jnp.asarray(legal_actions), origins, axis=-1)
        observation = rows.observation._replace(features=features, legal_actions=legal)
    return sample._replace(
        rows=rows._replace(
            observation=observation,
            action=jnp.take_along_axis(actions, rows.action, axis=1),
            extras={**rows.extras, "search_policy": policies},
        )
    )


def _images(boards: jax.Array, symmetries: Sequence[Symmetry], drawn: Array) -> jax.Array:
    """Returns the images of boards `[B, T, H, W, C]` by the symmetries drawn `[B]`."""
    batch, steps, height, width, channels = boards.shape
    cells = jnp.arange(height * width).reshape(height, width, 1)
    origins = jnp.stack([symmetry.image(cells).ravel() for symmetry in symmetries])[drawn]
    flat = boards.reshape(batch, steps, height * width, channels)
    moved = jnp.take_along_axis(flat, origins[:, None, :, None], axis=2)
    return moved.reshape(boards.shape)
