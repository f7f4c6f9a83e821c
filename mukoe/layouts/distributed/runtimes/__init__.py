"""Runtimes of the distributed layout: they name, place, connect, start and supervise nodes."""
