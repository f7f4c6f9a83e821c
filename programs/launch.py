"""Trains an agent in one process, on the devices of one machine, or as a distributed program."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("train")
