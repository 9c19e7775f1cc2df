"""Choice of the kind of claims: lock files in a folder, or objects of an object store."""

from pathlib import Path

from vadprobe.store.claims.claim import Claims
from vadprobe.store.claims.local_claims import LocalClaims
from vadprobe.store.files.location import is_remote


def claims_in(folder: Path) -> Claims:
    """Return the claims on the partitions of one backbone's folder, as this worker sees them over time."""
    if not is_remote(folder):
        return LocalClaims(folder)
    from vadprobe.store.claims.remote_claims import RemoteClaims  # noqa: PLC0415 - only URLs need its package

    return RemoteClaims(folder)
