"""Trains an agent on an Atari game, as a distributed program or on the devices of one machine."""

from mukoe.commands.train_atari import run

if __name__ == "__main__":
    run()
