"""The distributed layout on a Ray cluster."""
