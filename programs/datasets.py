"""Lists, describes and converts data sets."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("datasets")
