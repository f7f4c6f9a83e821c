"""Names what bounds a run, and the changes that make it faster."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("advise")
