"""Tests that play GNU Go or Stockfish, on machines where these cannot be installed."""

import os

import pytest


def pytest_collection_modifyitems(items):
    """Skips them where `.ci/run` could not install the engines; elsewhere they fail without."""
    if os.environ.get("MUKOE_WITHOUT_ENGINES"):
        for item in items:
            if item.get_closest_marker("engines"):
                item.add_marker(pytest.mark.skip(reason="the engines cannot be installed here"))
