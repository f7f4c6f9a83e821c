"""Haiku torsos and heads, value encoding, history, and the model containers."""
