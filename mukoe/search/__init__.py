"""Tree search with a model: PUCT, Gumbel MuZero, chance nodes."""
