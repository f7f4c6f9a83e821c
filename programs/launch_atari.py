"""Trains an agent on an Atari game, as a distributed program or on the devices of one machine."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("train_atari")
