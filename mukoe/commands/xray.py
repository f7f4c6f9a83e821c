"""Measures the search, the model and the values of a trained agent, and draws a page of them.

mukoe xray --workdir=runs/cartpole

Writes `xray.html`, a page without external files, and `xray.json`, its numbers, into the workdir.
"""

from typing import NoReturn

from absl import flags

from mukoe.commands import checkpoint_flags
from mukoe.commands.required_workdir import output_folder
from mukoe.configuration import run_main
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment

flags.adopt_module_key_flags(checkpoint_flags)
EPISODES = flags.DEFINE_integer("episodes", 16, "Episodes per measured return.")
MAX_SIMULATIONS = flags.DEFINE_integer(
    "max_simulations", None, "Largest number of simulations; by default twice that of the run."
)
MAX_STEPS = flags.DEFINE_integer(
    "max_steps", None, "Agent steps of an episode instead of the run's evaluation_max_steps."
)
SECONDS = flags.DEFINE_float("seconds", 100.0, "Seconds after which no further part is measured.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of environments, opponents and bootstrap.")
OUTPUT = flags.DEFINE_string("output", None, "Folder of the two files instead of the workdir.")


def main() -> int:
    """Prints the verdicts and writes page and numbers; the exit status is 1 if one is a fault."""
    workdir = checkpoint_flags.require_workdir("runs/cartpole")
    set_process_environment(process_environment())

    from mukoe.diagnosis.finding import to_text
    from mukoe.diagnosis.xray.config import XrayConfig
    from mukoe.diagnosis.xray.measure import Xray, xray
    from mukoe.diagnosis.xray.page import make_page, to_json
    from mukoe.evaluation.episodes import environment_name
    from mukoe.evaluation.players import open_agent
    from mukoe.system import write_atomically
    from mukoe.terminal.progress_line import process_line, show_phase

    config = XrayConfig(
        episodes=EPISODES.value,
        max_simulations=MAX_SIMULATIONS.value,
        max_steps=MAX_STEPS.value,
        seconds=SECONDS.value,
        seed=SEED.value,
    )
    with process_line():
        run = open_agent(checkpoint_flags.reference(workdir))
        if not hasattr(run.config.agent, "search"):
            raise UserError("not applicable: the agent of this run acts without a search")
        folder = output_folder(OUTPUT.value, workdir)
        if not folder.is_dir():
            raise UserError(f"the folder of --output does not exist: '{folder}'")
        step, name = int(run.params.learner_steps), environment_name(run)
        title = f"Search X-ray of {name}"
        subtitle = f"{run.workdir.name}, learner step {step:,}, seed {config.seed}"
        about = {"environment": name, "learner_step": step, "seed": config.seed}

        def write(result: Xray) -> None:
            """Writes the measurements so far, which an interrupted X-ray leaves."""
            page = make_page(title, subtitle, result.findings, result.sections)
            write_atomically(folder / "xray.html", page)
            numbers = to_json(about, result.findings, result.sections)
            write_atomically(folder / "xray.json", numbers)

        result = xray(run, config, show_phase, write)
    print(to_text(result.findings, with_tables=False))
    faults = [finding.check for finding in result.findings if finding.verdict == "fault"]
    print(f"\nfaults: {', '.join(faults) or 'none'}\n{folder / 'xray.html'}")
    return 1 if faults else 0


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
