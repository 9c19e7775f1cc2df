"""A checkpoint's own card: how its weights were made, and what they may be used for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vadprobe.store.datasets.dataset import Dataset, is_drawn
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.atomic_files import read_json

BACKBONE_CARD = "backbone_card.json"
"""Name of the card in a checkpoint folder. It is a JSON object with at least the texts `kind` and `note`."""

_SHORT = ("kind", "note", "version", "seed", "weights_sha256", "named")


def read_card(folder: Path) -> dict[str, Any] | None:
    """Return the content of a checkpoint's card, None where there is none.

    Raises:
        VadprobeError: if the card is no JSON object with the texts `kind` and `note`.
    """
    try:
        card = read_json(folder / BACKBONE_CARD)
    except FileNotFoundError:
        return None
    except StoreError as error:
        raise VadprobeError(f"{error} Copy the checkpoint again.") from error
    if not isinstance(card, dict) or not all(isinstance(card.get(name), str) for name in ("kind", "note")):
        raise VadprobeError(f"{folder / BACKBONE_CARD} must be an object with the texts 'kind' and 'note'.")
    return card


def short_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a card that is written into stores."""
    return {name: card[name] for name in _SHORT if name in card}


def card_recipe(card: Mapping[str, Any] | None, dataset: Dataset) -> dict[str, Any]:
    """Return what a card adds to the recipe of a store: its short form, and whether vadprobe drew the videos.

    Without a card it is empty, so that the digests of all other stores stay the same.
    """
    return {} if card is None else {"backbone_card": short_card(card), "drawn": is_drawn(dataset)}
