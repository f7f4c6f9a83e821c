"""Games of three players with the interface of pgx's games, in pure JAX."""
