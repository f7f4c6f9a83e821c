"""Acting while another program takes one of the cores, against acting alone.

python benchmarks/shared_core.py
python benchmarks/shared_core.py --config=configs/cartpole.py --num_envs=8

The actor searches in its own process and may use all cores, with one thread as in a program of many
actors, or with one thread per core as in the layout `local`. The other program spins on core 1 with
the same priority.
"""

from absl import flags
from actor import REPEATS, ActorProcess, actor_flags, make_setup
from measure import OTHER_CORE, Report, Row, busy, interleaved, prepare
from serving import LineProcess

from mukoe.configuration import run_main

THREADS = flags.DEFINE_integer("threads", None, "Run the actor with this number of XLA threads.")

CASES = {"an actor of one thread": 1, "an actor with a thread for each core": 0}
TARGET = 0.5


def start_actor(threads: int) -> LineProcess:
    """Starts the actor's process."""
    return LineProcess([__file__, *actor_flags(), f"--threads={threads}"], "the actor")


def measure(report: Report, case: str) -> None:
    """Adds the row of an actor."""
    with start_actor(CASES[case]) as actor:

        def alone() -> float:
            return actor.ask("local")["rate"]

        def beside_another() -> float:
            with busy(OTHER_CORE, gives_way=False):
                return alone()

        alone()
        functions = {"beside": beside_another, "alone": alone}
        rates = interleaved(functions, REPEATS.value)
    report.add(
        Row("shared_core", case, "frames/s", rates["beside"], "alone", rates["alone"], TARGET)
    )


def main() -> None:
    if THREADS.value is not None:
        prepare(threads=THREADS.value)
        ActorProcess(make_setup(), {}).run()
        return
    report = Report()
    for case in CASES:
        measure(report, case)
    report.close()


if __name__ == "__main__":
    run_main(main)
