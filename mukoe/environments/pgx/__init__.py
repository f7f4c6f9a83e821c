"""Board games, 2048 and MinAtar of pgx."""
