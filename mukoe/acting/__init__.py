"""Acting: actors, environment loops, policy runners and parameter clients."""
