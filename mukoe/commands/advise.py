"""Names what bounds a run, and the changes that make it faster, from the timings in its logs.

mukoe advise --workdir=runs/cartpole

Amdahl's law on the shares of time gives the gain of each change. The costs of larger batches and
of a smaller network are in no log: they are measured, which takes a minute, unless --nomeasure is
given. The last line is a JSON object.
"""

import json
from typing import NoReturn

from absl import flags

from mukoe.commands.required_workdir import required_workdir
from mukoe.configuration import load_config, run_main
from mukoe.system import process_environment, set_process_environment

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of the run.")
MEASURE = flags.DEFINE_bool("measure", True, "Measure policy and update with other sizes.")


def main() -> None:
    """Prints costs, bound and changes."""
    workdir = required_workdir(WORKDIR, "runs/cartpole")
    set_process_environment(process_environment())

    from mukoe.observability.advice.advice import advice_text, advise
    from mukoe.observability.report.runs import load_run
    from mukoe.terminal.progress_line import process_line, show_phase

    run = load_run(workdir)
    advice = advise(run)
    if MEASURE.value:
        from mukoe.diagnosis.call_costs import CallCosts

        with process_line():
            show_phase("measuring policy and update")
            advice = advise(run, CallCosts(load_config(workdir)).ratios)
    print(advice_text(advice))
    changes = [
        {"flags": change.flags, "gain": round(change.gain(advice.costs), 3)}
        for change in advice.best
    ]
    print(json.dumps({"bound": advice.bound, "changes": changes}))


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
