"""Agents: the builder contract, and one folder for each algorithm."""
