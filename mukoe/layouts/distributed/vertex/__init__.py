"""Programs on Vertex AI: machines, images, worker pools and the billed account."""

import warnings

# About a dozen of Google's packages warn about Python 3.10.
warnings.filterwarnings("ignore", "You are using a non-supported Python version", FutureWarning)
