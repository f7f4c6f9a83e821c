"""Shows the decisions of an agent and its search as text, as a video, as a tree, or in a game."""

from mukoe.commands.watch import run

if __name__ == "__main__":
    run()
