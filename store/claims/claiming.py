"""Choice of the kind of claims: lock files in a folder, or objects of an object store."""

from vadprobe.store.claims.claim import Claims
from vadprobe.store.claims.local_claims import LocalClaims
from vadprobe.store.claims.remote_claims import RemoteClaims
from vadprobe.store.files.location import StorePath, is_remote


def claims_in(folder: StorePath) -> Claims:
    """Return the claims on the partitions of one backbone's folder, as this worker sees them over time."""
    return RemoteClaims(folder) if is_remote(folder) else LocalClaims(folder)
