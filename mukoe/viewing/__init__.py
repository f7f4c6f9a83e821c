"""Inspection of trained agents: videos, search trees, and games against the user."""
