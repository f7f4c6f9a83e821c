"""How good agents are: episodes, matches, statistics and ratings."""
