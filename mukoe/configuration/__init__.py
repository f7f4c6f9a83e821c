"""Configurations of runs: fields, plain values, the command line, workdirs."""

from mukoe.configuration.cli import DEFINE_config, load_config_file, run_main
from mukoe.configuration.overrides import apply_overrides
from mukoe.configuration.plain import from_dict, to_dict, with_values
from mukoe.configuration.resuming import resumed_config
from mukoe.configuration.workdir import load_config, prepare_workdir, stored_launch

__all__ = [
    "DEFINE_config",
    "apply_overrides",
    "from_dict",
    "load_config",
    "load_config_file",
    "prepare_workdir",
    "resumed_config",
    "run_main",
    "stored_launch",
    "to_dict",
    "with_values",
]
