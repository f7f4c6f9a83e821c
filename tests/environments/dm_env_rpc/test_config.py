"""Invalid settings of environments behind dm_env_rpc."""

import pytest

from mukoe.environments.registry import named_environment
from mukoe.errors import UserError


@pytest.mark.parametrize(
    "address", ["dm_env_rpc://", "dm_env_rpc://host", "dm_env_rpc://host:0", "dm_env_rpc://a b:1"]
)
def test_invalid_addresses_are_rejected(address):
    with pytest.raises(UserError, match="give dm_env_rpc://HOST:PORT"):
        named_environment(address)
