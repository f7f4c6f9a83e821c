"""The one exception that programs turn into one line on the terminal."""


class UserError(ValueError):
    """Bad input from the person: says what was wrong and what would be right.

    Programs print it as a single line and exit with status 2. Libraries raise it
    instead of letting a dependency fail later with a stack trace.
    """
