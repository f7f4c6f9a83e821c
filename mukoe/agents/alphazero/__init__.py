"""AlphaZero: a search of the true rules."""
