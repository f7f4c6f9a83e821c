"""Learning: the learner, targets, optimisers, checkpoints."""
