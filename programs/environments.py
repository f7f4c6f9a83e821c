"""Lists the environments of all families by the names that --env takes."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("environments")
