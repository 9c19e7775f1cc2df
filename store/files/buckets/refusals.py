"""Errors of what lies behind a URL."""

from vadprobe.store.errors import VadprobeError


class RemoteError(OSError, VadprobeError):
    """Something behind a URL that cannot be read or written, said in a sentence."""


class UnreachableError(RemoteError):
    """A server gives no answer, or none that is of use; it may later."""


class ForbiddenError(PermissionError, VadprobeError):
    """The credentials of the environment do not suffice.

    Without permission to list, a bucket gives this answer for an object that does not exist as well.
    """

    def __init__(self, url: object, reason: str) -> None:
        super().__init__(f"{url} cannot be reached with the credentials of the environment: {reason}")
        self.url, self.reason = url, reason


class NoListingError(RemoteError):
    """A place does not say what it has: a web server, or a bucket whose listing is not allowed."""


class ChangedError(OSError):
    """An object is not the one that was to be replaced."""
