"""What callers of flows catch."""


class FlowsError(ValueError):
    """What the user asked for cannot be; the message says what was expected, what was found, where,
    and what to do.
    """
