"""Configurations of runs: fields, plain values, the command line, workdirs."""

from mukoe.configuration.cli import DEFINE_config, load_config_file, run_main
from mukoe.configuration.overrides import apply_overrides
from mukoe.configuration.plain import from_dict, to_dict, with_values
from mukoe.configuration.workdir import load_config, prepare_workdir

__all__ = [
    "DEFINE_config",
    "apply_overrides",
    "from_dict",
    "load_config",
    "load_config_file",
    "prepare_workdir",
    "run_main",
    "to_dict",
    "with_values",
]
