"""Checks the machine: packages, devices, memory, files; names the command that closes each gap."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("doctor")
