"""Evaluates the agent of a run on episodes without exploration."""

from mukoe.commands.evaluate import run

if __name__ == "__main__":
    run()
