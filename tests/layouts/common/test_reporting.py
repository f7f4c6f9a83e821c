"""Lines about the shares of a run's time."""

from mukoe.layouts.common.reporting import reported_time_line, time_line


def test_the_line_shows_means_over_the_actors_in_a_fixed_order():
    reports = {
        "time_acting_0": {"environment": 0.25, "transport": 0.05, "waiting": 0.7},
        "time_acting_1": {"environment": 0.75, "recording": 0.004, "waiting": 0.246},
        "time_learning": {"data": 0.03, "transfer": 0.01, "update": 0.96},
        "loss": 1.0,
    }
    assert reported_time_line(reports) == (
        "time   acting: environment 50% transport 2% waiting 47%"
        "   learning: data 3% transfer 1% update 96%"
    )


def test_the_line_leaves_out_what_was_not_measured():
    assert time_line([{"network": 0.6, "tree": 0.4}], {}) == "time   acting: network 60% tree 40%"
    assert reported_time_line({"loss": 1.0}) is None
