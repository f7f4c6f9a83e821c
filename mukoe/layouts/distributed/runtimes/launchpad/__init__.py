"""The Launchpad runtime: the program graph on courier and Reverb, its start and its end."""
