"""Parts of MuZero and EfficientZero: a learned model in which an action has one outcome."""
