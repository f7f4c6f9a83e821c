"""Evaluation of trained agents: episodes, matches, statistics and ratings."""
