"""Loggers: destinations of the metrics of a run, in the interface of Acme's loggers."""
