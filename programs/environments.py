"""Lists the environments of all families by the names that --env takes."""

from mukoe.commands.environments import run

if __name__ == "__main__":
    run()
