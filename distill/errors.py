"""What callers of distill catch."""


class DistillError(ValueError):
    """Something asked of distill cannot be: the message says what was expected, found, where, what
    to do.
    """
