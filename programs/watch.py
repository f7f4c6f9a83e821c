"""Shows the decisions of an agent and its search as text, as a video, as a tree, or in a game."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("watch")
