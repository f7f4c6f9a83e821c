"""Plays Go, Hex or Othello as an engine of GTP."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("gtp")
