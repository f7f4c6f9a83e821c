"""Advice on the speed of a run: costs from its logs, what bounds it, and changes."""
