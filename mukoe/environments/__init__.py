"""Environments: one package per family, adapted to vectors of dm_env environments."""
