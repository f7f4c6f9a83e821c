"""Settings of runs."""

import pytest

from mukoe.errors import UserError
from mukoe.layouts.common.experiment import RunConfig


def test_unknown_loggers_are_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="unknown logger 'cvs': did you mean csv"):
        RunConfig(loggers=("cvs",))
    with pytest.raises(UserError, match="cannot import logger 'no_such_module:make'"):
        RunConfig(loggers=("csv", "no_such_module:make"))
