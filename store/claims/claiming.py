"""The claims of a place, by what it is: files of a folder, or objects of an object store."""

from pathlib import Path

from vadprobe.store.claims.claims import Claims
from vadprobe.store.files.location import is_remote


def claims_in(folder: Path) -> Claims:
    """The claims on the partitions of one backbone's folder, as this worker sees them over time."""
    if not is_remote(folder):
        return Claims(folder)
    from vadprobe.store.claims.remote_claims import RemoteClaims  # noqa: PLC0415 - only URLs need its package

    return RemoteClaims(folder)
