"""Runtimes whose programs are hurt: those that are installed."""

import importlib.util

import pytest

_MODULES = {"launchpad": "launchpad", "zeromq": "zmq"}
RUNTIMES = [name for name, module in _MODULES.items() if importlib.util.find_spec(module)]


@pytest.fixture(params=RUNTIMES, scope="module")
def runtime(request):
    """Flag of a program."""
    return f"--runtime={request.param}"
