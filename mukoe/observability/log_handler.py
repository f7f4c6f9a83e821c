"""Handler of `logging` for warnings of this package."""

import logging

from mukoe.terminal.progress_line import print_line

PACKAGE_LOGGER = "mukoe"


class ProgressHandler(logging.Handler):
    """Prints log records on the standard error, above the progress line if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints `level: message`."""
        try:
            print_line(f"{record.levelname.lower()}: {self.format(record)}")
        except Exception:
            self.handleError(record)


def install_handler() -> None:
    """Makes `ProgressHandler` the one handler of the package's logger, once per process."""
    logger = logging.getLogger(PACKAGE_LOGGER)
    if not any(isinstance(handler, ProgressHandler) for handler in logger.handlers):
        logger.addHandler(ProgressHandler())
        # Libraries such as absl add handlers to the root logger, which would print twice.
        logger.propagate = False
