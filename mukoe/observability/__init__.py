"""Logs, progress, metrics and reports.

Importing the package installs the handler that prints the warnings of `mukoe`.
"""

from mukoe.observability.log_handler import install_handler

install_handler()
