"""Records episodes of a policy or of a human player as a Minari data set."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("record")
