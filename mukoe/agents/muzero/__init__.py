"""MuZero and Gumbel MuZero: the deterministic learned model, without further parts."""
