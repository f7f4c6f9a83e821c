"""Measures the search, the model and the values of a trained agent, and draws a page of them."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("xray")
