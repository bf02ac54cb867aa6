"""What can be wrong with a lake or with what was asked of it; callers catch WarehouseError or one
of its kinds.
"""


class WarehouseError(ValueError):
    """Base of all errors of this package; the message says what to do."""


class LakeNotFoundError(WarehouseError):
    """There is no lake in that folder."""


class LakeFormatError(WarehouseError):
    """The lake was written by a version of this program that this one does not know."""


class ManifestDamagedError(WarehouseError):
    """The manifest does not hold what was written into it."""


class FileDamagedError(WarehouseError):
    """A Parquet file of the lake is missing or does not hold what was written into it."""


class RowsError(WarehouseError):
    """Rows do not fit the table that they were meant for."""


class CommitConflictError(WarehouseError):
    """A shard key was committed before with other tables than now."""


class NightConflictError(WarehouseError):
    """A night was claimed before for something else."""


class ChampionChangedError(WarehouseError):
    """A line's champion is no longer the one that was to be changed."""


class QueryRefused(WarehouseError):
    """The SQL asks for more than reading this lake's tables and views."""


class QueryError(WarehouseError):
    """The SQL is allowed, but DuckDB cannot run it."""


class StorageError(WarehouseError):
    """The disk or its permissions stopped a write or a read."""


class ExchangeError(WarehouseError):
    """A corpus cannot be read from where it is said to be, or not be written where it is asked."""


class SuiteError(WarehouseError):
    """A suite cannot be read from its files, or not be frozen under that name."""
