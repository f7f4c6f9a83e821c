"""Layouts: where the parts of an agent run."""
