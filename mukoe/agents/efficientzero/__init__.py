"""EfficientZero: MuZero with all of its own parts on, and the settings of the paper."""
