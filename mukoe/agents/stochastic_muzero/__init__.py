"""Stochastic MuZero (Antonoglou et al., ICLR 2022)."""
