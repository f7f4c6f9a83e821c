"""Processes that are started again when they die; needs nothing but the standard library."""
