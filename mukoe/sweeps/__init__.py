"""Several runs side by side on one machine: seeds of one configuration."""
