"""Numbers as text."""


def format_number(value: float) -> str:
    """Returns a value with 3 decimals, fewer if it is large, and without the sign of a zero."""
    decimals = 3 if abs(value) < 100 else 1 if abs(value) < 10_000 else 0
    return format_fixed(value, decimals)


def format_fixed(value: float, decimals: int) -> str:
    """Returns a number with a fixed number of decimals, and without the sign of a zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def format_sum(value: float) -> str:
    """Returns a reward or a return with 6 digits, and at most 4 decimals: few characters."""
    if 0 < abs(value) < 1e-3:
        return format_fixed(value, 4)
    return f"{round(value, 4) + 0.0:.6g}"
