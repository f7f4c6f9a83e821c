"""Environments in other processes, machines and languages, through dm_env_rpc."""
