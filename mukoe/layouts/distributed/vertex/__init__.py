"""The program on Vertex AI: machines, images, worker pools, and whose account pays."""

import warnings

# Google's packages each say so of Python 3.10, a dozen of them.
warnings.filterwarnings("ignore", "You are using a non-supported Python version", FutureWarning)
