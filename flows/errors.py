"""What callers of flows catch."""


class FlowsError(ValueError):
    """What the user asked for cannot be; the message says what was expected, what was found, where,
    and what to do.
    """


class TransientError(FlowsError):
    """Something outside did not answer this time; the same may work a little later."""


class CorpusRefused(FlowsError):
    """A night's stories break a limit of their recipe: a defect that was found, so exit code 1."""
