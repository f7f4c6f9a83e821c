"""Supervision of the processes of a program, on the standard library alone."""
