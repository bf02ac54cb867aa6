"""What callers of datagen catch."""


class DatagenError(ValueError):
    """What was asked of datagen cannot be.

    The message says what was expected, what was found, where, and what to do.
    """


class VocabularyError(DatagenError):
    """A controlled vocabulary is unknown or its file is wrong."""
