"""Nodes of the distributed layout."""
