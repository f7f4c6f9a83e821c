"""Lists the trained agents that the package contains, or adds one from a run."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("zoo")
