"""Search over sampled candidates (Sampled MuZero, Hubert et al. 2021, arXiv:2104.06303).

A node has `K` candidates, drawn from the policy there. The tree is that of `K` discrete actions,
the indices of the candidates, which are kept with the embedding of their node:

    node     embedding {"state": s, "candidates": a_1 .. a_K}     prior over 1 .. K
    edge     index i, the model step with action a_i

With candidates drawn from a proposal `β`, the prior of the search is (section 4.2)

    P(a_i) ∝ (β̂(a_i) / β(a_i)) π(a_i)        β̂: share of the candidates that are a_i

For `β = π` it is the share itself: uniform, with repeated candidates merged. The density `π` as
prior would count the policy twice, as frequent candidates would have a high prior as well.

At the root, while training, a part of the candidates may come from a widened policy (the sampled
Gumbel search of EfficientZero V2, arXiv:2403.00564); `β` is then the mixture. A space of at most
`K` actions is enumerated, with the policy itself as prior: the full search.
"""

import dataclasses
from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.players import Turn
from mukoe.search.root import complete_mask, mask_logits
from mukoe.types import Array, Nest, Params, PerAction, PerEntry


class CandidatePolicy(Protocol):
    """Policies `[B]`; see `mukoe.networks.distributions.Distribution`."""

    def sample(self, key: chex.PRNGKey) -> jax.Array: ...
    def mode(self) -> jax.Array: ...
    def log_prob(self, action: Array) -> jax.Array: ...
    def widened(self, scale: float) -> "CandidatePolicy": ...


class CandidateSpace(Protocol):
    """Actions that candidates are drawn of; see `mukoe.networks.action_space.ActionSpace`."""

    @property
    def num_choices(self) -> int | None: ...
    def all_actions(self) -> jax.Array: ...
    def policy(self, outputs: Array, legal_actions: PerAction | None = None) -> CandidatePolicy: ...


class Candidates(NamedTuple):
    """Candidates of `B` nodes.

    actions: `[B, K, ...]`.
    logits: `[B, K]` logits of their prior.
    legal: `[B, K]` bool, False for illegal actions and for repetitions of an earlier candidate.
    """

    actions: Array
    logits: PerAction
    legal: PerAction


class CandidateSampler:
    """Candidates of one action space, and the model of a search over them."""

    def __init__(self, space: CandidateSpace, config: SearchConfig):
        """Builds the sampler; `config.num_candidates` is positive."""
        self._space, self._config = space, config
        choices = space.num_choices
        self._is_enumerated = choices is not None and choices <= config.num_candidates

    @property
    def count(self) -> int:
        """`K`, at most the number of different actions."""
        number, choices = self._config.num_candidates, self._space.num_choices
        return number if choices is None else min(number, choices)

    def at_root(
        self,
        key: chex.PRNGKey,
        outputs: Array,
        legal_actions: PerAction | None = None,
        *,
        evaluation: bool = False,
        taken: Array | None = None,
    ) -> Candidates:
        """Returns the candidates of roots.

        Args:
          key: random key.
          outputs: `[B, O]` outputs of the policy head.
          legal_actions: `[B, A]` bool mask of a discrete space; None if all are legal.
          evaluation: draw from the policy alone, and take its mode as the first candidate.
          taken: `[B, ...]` actions that must be among the candidates; None for none.
        """
        if legal_actions is not None:
            legal_actions = complete_mask(legal_actions, outputs)
        if self._is_enumerated:
            return self._all(outputs, legal_actions)
        policy = self._space.policy(outputs, legal_actions)
        if evaluation:
            actions = self._draw(key, policy, self.count).at[:, 0].set(policy.mode())
            return self._merged(actions)
        num_wide = round(self._config.wide_fraction * self.count)
        wide = policy.widened(self._config.wide_scale)
        key, wide_key = jax.random.split(key)
        actions = jnp.concatenate(
            [
                self._draw(key, policy, self.count - num_wide),
                self._draw(wide_key, wide, num_wide),
            ],
            axis=1,
        )
        if taken is not None:
            actions = actions.at[:, -1].set(taken)
        merged = self._merged(actions)
        if num_wide == 0:
            return merged
        return merged._replace(logits=merged.logits - self._log_ratio(policy, wide, actions))

    def expand_root(
        self,
        key: chex.PRNGKey,
        root: mctx.RootFnOutput,
        legal_actions: PerAction | None = None,
        *,
        evaluation: bool = False,
        taken: Array | None = None,
    ) -> tuple[mctx.RootFnOutput, PerAction]:
        """Returns roots over the indices of candidates, and the legal indices `[B, K]`.

        Args:
          key: random key.
          root: roots of the model, with the outputs `[B, O]` of the policy head.
          legal_actions: see `at_root`.
          evaluation: see `at_root`.
          taken: see `at_root`.
        """
        outputs = root.prior_logits
        drawn = self.at_root(key, outputs, legal_actions, evaluation=evaluation, taken=taken)
        embedding = {"state": root.embedding, "candidates": drawn.actions}
        return dataclasses.replace(
            root, prior_logits=drawn.logits, embedding=embedding
        ), drawn.legal

    def at_interior(self, key: chex.PRNGKey, outputs: Array) -> Candidates:
        """Returns the candidates of nodes below the root, of the outputs `[B, O]` there."""
        if self._is_enumerated:
            return self._all(outputs, None)
        return self._merged(self._draw(key, self._space.policy(outputs), self.count))

    def interior_prior(self, key: chex.PRNGKey, outputs: Array) -> tuple[PerAction, Array]:
        """Returns logits `[B, K]`, lowest where illegal, and candidates of `at_interior`."""
        drawn = self.at_interior(key, outputs)
        return mask_logits(drawn.logits, drawn.legal), drawn.actions

    def recurrent(self, recurrent: mctx.RecurrentFn) -> mctx.RecurrentFn:
        """Returns a model of indices of candidates, from a model of actions."""

        def step(
            params: Params, key: chex.PRNGKey, index: PerEntry, embedding: Nest
        ) -> tuple[mctx.RecurrentFnOutput, Nest]:
            model_key, draw_key = jax.random.split(key)
            action = at_index(embedding["candidates"], index)
            output, state = recurrent(params, model_key, action, embedding["state"])
            logits, candidates = self.interior_prior(draw_key, output.prior_logits)
            output = dataclasses.replace(output, prior_logits=logits)
            return output, {"state": state, "candidates": candidates}

        return step

    def _all(self, outputs: Array, legal_actions: PerAction | None) -> Candidates:
        every = self._space.all_actions()
        actions = jnp.broadcast_to(every, (outputs.shape[0], *every.shape))
        policy = self._space.policy(outputs)
        logits = jax.vmap(policy.log_prob, in_axes=1, out_axes=1)(actions)
        return Candidates(actions, logits, complete_mask(legal_actions, logits))

    def _draw(self, key: chex.PRNGKey, policy: CandidatePolicy, count: int) -> jax.Array:
        return jnp.moveaxis(jax.vmap(policy.sample)(jax.random.split(key, count)), 0, 1)

    def _merged(self, actions: Array) -> Candidates:
        """Returns candidates `[B, K, ...]` whose prior is their share `β̂`."""
        shape = actions.shape[:2]
        if self._space.num_choices is None:
            return Candidates(actions, jnp.zeros(shape), jnp.ones(shape, bool))
        flat = actions.reshape((*shape, -1))
        same = jnp.all(flat[:, :, None] == flat[:, None, :], axis=-1)
        is_first = jnp.argmax(same, axis=-1) == jnp.arange(shape[1])
        return Candidates(actions, jnp.log(jnp.sum(same, axis=-1, dtype=jnp.float32)), is_first)

    def _log_ratio(
        self, policy: CandidatePolicy, wide: CandidatePolicy, actions: Array
    ) -> jax.Array:
        """Returns `log(β(a) / π(a))` `[B, K]` of the mixture `β` of a policy and a wide one."""
        fraction = round(self._config.wide_fraction * self.count) / self.count

        def ratio(action: Array) -> jax.Array:
            log_odds = wide.log_prob(action) - policy.log_prob(action)
            return jnp.logaddexp(jnp.log1p(-fraction), jnp.log(fraction) + log_odds)

        return jax.vmap(ratio, in_axes=1, out_axes=1)(actions)


def with_candidates(model: SearchModel, sampler: CandidateSampler) -> SearchModel:
    """Returns a model of indices of candidates, from a model of actions `[B, ...]`."""
    return model._replace(recurrent=sampler.recurrent(model.recurrent), candidates=sampler)


def make_sampler(space: CandidateSpace, config: SearchConfig) -> CandidateSampler | None:
    """Returns the sampler of a search; None for a search over all actions."""
    return CandidateSampler(space, config) if config.num_candidates else None


def candidate_root(
    model: SearchModel,
    params: Params,
    observation: Nest,
    position: Array | None,
    turn: Turn | None = None,
) -> mctx.RootFnOutput:
    """Returns the roots of the search tree, with candidates of a constant key if there are some.

    Args:
      model: model of the search.
      params: network parameters.
      observation: observation `[B, ...]` of `model.root`.
      position: true states, see `SearchModel.evaluate_root`.
      turn: player to move, see `SearchModel.evaluate_root`.
    """
    root = model.evaluate_root(params, observation, position, turn)
    if model.candidates is None:
        return root
    return model.candidates.expand_root(jax.random.PRNGKey(0), root)[0]


def at_index(candidates: Array, index: PerEntry) -> jax.Array:
    """Returns the candidates `[B, ...]` at indices `[B]`, of `[B, K, ...]`."""
    return jnp.asarray(candidates)[jnp.arange(index.shape[0]), index]
