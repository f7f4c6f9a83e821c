"""Exception for invalid user input, which programs print as one line."""


class UserError(ValueError):
    """Invalid input from the user; the message states the cause and the remedy.

    Programs print the message as one line and exit with status 2. Library code raises it before a
    dependency fails with a stack trace.
    """
