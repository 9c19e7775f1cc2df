"""Errors of objects and servers behind a URL."""

from vadprobe.store.errors import VadprobeError


class RemoteError(OSError, VadprobeError):
    """Error of something behind a URL that cannot be read or written."""


class UnreachableError(RemoteError):
    """Error of a server that gives no usable answer now, but may do so later."""


class ForbiddenError(PermissionError, VadprobeError):
    """Error of credentials of the environment that do not suffice.

    A bucket that may not be listed gives this answer also for an object that does not exist.
    """

    def __init__(self, url: object, reason: str) -> None:
        super().__init__(f"{url} cannot be reached with the credentials of the environment: {reason}")
        self.url, self.reason = url, reason


class NoListingError(RemoteError):
    """Error of a place that cannot be listed: a web server, or a bucket whose listing is not allowed."""


class ChangedError(OSError):
    """Error of an object that is no longer the one that was to be replaced."""
