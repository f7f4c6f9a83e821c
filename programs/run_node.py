"""Runs one node of a distributed program, such as in a container."""

from mukoe.commands.run_node import run

if __name__ == "__main__":
    run()
