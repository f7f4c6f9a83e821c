"""Engines of other projects as opponents and judges, and agents as engines of GTP and UCI."""
