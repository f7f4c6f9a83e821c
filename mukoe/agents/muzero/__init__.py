"""MuZero and Gumbel MuZero."""
