"""What callers of datagen catch."""


class DatagenError(ValueError):
    """What was asked of datagen cannot be.

    The message says what was expected, what was found, where, and what to do.
    """


class EngineError(DatagenError):
    """An engine cannot write: a server refuses what it was asked, or does not answer."""


class VocabularyError(DatagenError):
    """A controlled vocabulary is unknown or its file is wrong."""


class FamilyError(DatagenError):
    """A prompt family is unknown, its file is wrong, or it does not fit the vocabulary."""
