"""Evaluates the agent of a run on episodes without exploration."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("evaluate")
