"""Errors that a user can mend: each says what is wrong, where, and what to do."""

from __future__ import annotations


class LaqError(Exception):
    """Base of every error caused by the user's config or files.

    The message names the key, file, class or layer and the remedy; jobs print it
    without a traceback. Anything else that is raised is a defect of this project.
    """


class ConfigError(LaqError):
    """A config that cannot be run, found before any job starts."""


class DataError(LaqError):
    """Images, features or distances that cannot be used as they are."""


class CheckpointError(LaqError):
    """A checkpoint that is truncated, altered, or of another kind than expected."""


class ProcessError(LaqError):
    """A process of a job that was ended from outside."""


class AllocationError(LaqError):
    """A job to which the cluster gave less than it asked for."""


class StorageError(LaqError):
    """A file that cannot be written: no space, no right to, a disk that fails."""
