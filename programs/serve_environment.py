"""Serves an environment over dm_env_rpc to several clients."""

from mukoe.commands.serve_environment import run

if __name__ == "__main__":
    run()
