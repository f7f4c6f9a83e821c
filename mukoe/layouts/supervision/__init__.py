"""Processes that are started again when they die; the standard library alone but `ray_host`."""
