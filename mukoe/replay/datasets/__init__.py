"""Minari data sets (HDF5): episodes on disk, read and written as rows."""
