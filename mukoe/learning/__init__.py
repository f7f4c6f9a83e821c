"""Learning: the learner, return estimators, optimisers, checkpoints."""
