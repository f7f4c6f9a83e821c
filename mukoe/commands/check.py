"""Checks an agent before it is tuned: rows, targets, supports, gradients, predictions, search.

mukoe check --config=configs/cartpole.py

Acts until replay gives one batch, overfits it, and compares what the model then predicts with
targets computed from the rows. Each check ends with a verdict. With --workdir, the
parameters and the replay are those of a run, or of the worst seed of a run with --seeds. An agent
that learns from rollouts, such as PPO, is checked on one rollout.
"""

from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import DEFINE_config, load_config, run_main
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment

CONFIG = DEFINE_config("configs/cartpole.py")
WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a run to check instead of --config.")
UPDATES = flags.DEFINE_integer("updates", 400, "Updates on the one batch.", lower_bound=1)
TABLES = flags.DEFINE_bool("tables", True, "Print the numbers behind each verdict.")


def main() -> int:
    """Prints the findings; the exit status is 1 if one is a fault."""
    set_process_environment(process_environment())

    from mukoe.agents.extensions import rollout_of
    from mukoe.diagnosis.diagnose import diagnose
    from mukoe.diagnosis.finding import Finding, to_text
    from mukoe.diagnosis.rollouts import collect_rollout
    from mukoe.diagnosis.run_logs import check_logs
    from mukoe.diagnosis.subject import collect
    from mukoe.layouts import local
    from mukoe.layouts.common.experiment import check_experiment
    from mukoe.terminal.counted_progress import CountedProgress
    from mukoe.terminal.progress_line import process_line, show_phase

    workdir = None if WORKDIR.value is None else Path(WORKDIR.value).expanduser()
    if workdir is not None and (CONFIG.overrides or not flags.FLAGS["config"].using_default_value):
        raise UserError("--workdir gives the configuration: leave out --config and its fields")
    logged: list[Finding] = []
    if workdir is not None:
        logged, workdir = check_logs(workdir)
    config = CONFIG.load() if workdir is None else load_config(workdir)
    experiment = config.make_experiment()
    by_rollouts = rollout_of(experiment.builder) is not None
    with process_line():
        show_phase("building agent and environments")
        # A config is checked for the local layout; a run may have had another one.
        check = check_experiment if by_rollouts or workdir else local.check
        spec = check(experiment)
        show_phase("acting until there is a batch")
        subject = (collect_rollout if by_rollouts else collect)(experiment, spec, workdir)
        with CountedProgress("overfitting one batch", UPDATES.value) as progress:
            findings = logged + diagnose(
                subject,
                config,
                workdir is not None,
                UPDATES.value,
                lambda _: progress.add(),
            )
    print(to_text(findings, TABLES.value))
    faults = [finding.check for finding in findings if finding.verdict == "fault"]
    print(f"\n{len(findings)} checks, faults: {', '.join(faults) or 'none'}")
    return 1 if faults else 0


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main, {"config": CONFIG.load})
