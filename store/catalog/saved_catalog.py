"""The file `catalog.json` of a root: it names the stores where folders cannot be listed."""

from typing import Any

from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.names import check_key

CATALOG = "catalog.json"
"""Name of the saved catalog in a root."""

CATALOG_VERSION = 1
"""Version of the file; it rises when older readers can no longer read it."""

Place = tuple[str, str, str, str]
"""A store by (dataset, sampling key, backbone key, prompt key), the names in its path."""

_PLACE_KEYS = ("dataset", "sampling", "backbone", "prompt")


def path_of(root: StorePath, place: Place) -> StorePath:
    """Return the path of a store in a root."""
    *folders, prompt = place
    return root.joinpath(*folders, f"{prompt}.zarr")


def write_saved(root: StorePath, content: dict[str, Any]) -> StorePath:
    """Write `catalog.json` into a root, whole or not at all; return its path."""
    write_json(root / CATALOG, content)
    return root / CATALOG


def read_saved(root: StorePath) -> tuple[dict[Place, str | None] | None, list[str]]:
    """Read the saved catalog of a root.

    Names are checked before they become paths.

    Returns:
        The digest of each store, by place, or None if there is no saved catalog; and sentences about entries that are
        left out.

    Raises:
        StoreError: if the file is no catalog, or one of a later version.
    """
    path = root / CATALOG
    try:
        content = read_json(path)
    except OSError:
        return None, []
    version = content.get("vadprobe_catalog") if isinstance(content, dict) else None
    if not isinstance(version, int) or not isinstance(content.get("stores"), list):
        raise StoreError(f"{path} is not a catalog; remove it, or save it again with 'vadprobe ls ROOT --save'.")
    if version > CATALOG_VERSION:
        raise StoreError(f"{path} has version {version}, this vadprobe reads up to {CATALOG_VERSION}; update vadprobe.")
    saved: dict[Place, str | None] = {}
    remarks = []
    for number, item in enumerate(content["stores"]):
        try:
            dataset, sampling, backbone, prompt = (
                check_key(f"the {key} of store {number}", item[key]) for key in _PLACE_KEYS
            )
            saved[dataset, sampling, backbone, prompt] = item.get("digest")
        except (VadprobeError, TypeError, KeyError, AttributeError) as error:
            remarks.append(f"An entry of {path} is left out: {error}")
    return saved, remarks
