"""Searches of a few recorded steps, beside what they have to agree with."""

from pathlib import Path

import numpy as np

from mukoe.agents.extensions import Inspectable
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.model_error import Unrolled, unroll
from mukoe.diagnosis.xray.trajectories import Recorder
from mukoe.diagnosis.xray.verdicts import judge_searches
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.types import Params, PolicyParams

_STEPS = 48


def check_searches(subject: Subject, config: TrainingConfig, params: Params) -> list[Finding]:
    """Records the searches of random steps, and judges them.

    Args:
      subject: agent under diagnosis.
      config: configuration of agent and environment.
      params: parameters that have learned something; those of the start give every state one value.
    """
    builder, spec = subject.experiment.builder, subject.environment_spec
    if not isinstance(builder, Inspectable) or not builder.make_inspector(subject.networks, spec):
        return []
    state = PolicyParams(params, np.int32(0))
    run = StoredRun(Path(), config, subject.experiment, spec, state, {})
    steps = Recorder(run).record(XrayConfig(), _STEPS, random=True, stop=lambda: False)
    unrolls = [each for each in unroll(run, [steps]) if isinstance(each, Unrolled)]
    return judge_searches([steps], unrolls, config.agent.discount)
