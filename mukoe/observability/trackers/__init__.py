"""Experiment trackers: services that receive what a run writes to its workdir."""
