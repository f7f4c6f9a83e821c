"""Groups of metrics in TensorBoard."""

import pytest

from mukoe.observability.loggers.metric_groups import grouped_name


@pytest.mark.parametrize(
    "label, name, expected",
    [
        ("learner", "loss", "loss/loss"),
        ("learner", "value_loss", "loss/value_loss"),
        ("learner", "gradient_norm", "loss/gradient_norm"),
        ("learner", "policy_entropy", "search/policy_entropy"),
        ("learner", "time_update", "throughput/time_update"),
        ("learner", "learner_steps", "throughput/learner_steps"),
        ("actor_11", "search_value", "search/search_value"),
        ("actor_0", "root_depth", "search/root_depth"),
        ("actor_0", "steps_per_second", "throughput/steps_per_second"),
        ("actor_0", "episode_return", "training/episode_return"),
        ("evaluator", "episode_return", "evaluation/episode_return"),
        ("evaluator", "search_value", "evaluation/search_value"),
        ("evaluator", "wall_time", "throughput/wall_time"),
        ("inference_0", "batch_fill", "throughput/batch_fill"),
        ("inference_0", "request_ms_p50", "throughput/request_ms_p50"),
        ("supervisor", "restarts_actor_0", "throughput/restarts_actor_0"),
    ],
)
def test_groups(label, name, expected):
    assert grouped_name(label, name) == expected
