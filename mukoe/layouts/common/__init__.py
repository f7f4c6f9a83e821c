"""Parts of a run that all layouts share: seeds, counts, checkpoints, evaluation, reports."""
