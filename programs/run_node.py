"""Runs one node of a distributed program, such as in a container."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("run_node")
