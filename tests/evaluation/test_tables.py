"""Text tables."""

from mukoe.evaluation.tables import text_table


def test_columns():
    assert (
        text_table(["a", "bc"], [["long", "1"], ["x", "100"]]) == "a      bc\nlong    1\nx     100"
    )
