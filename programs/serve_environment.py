"""Serves an environment over dm_env_rpc to several clients."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("serve_environment")
