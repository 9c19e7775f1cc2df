"""Pushing finished stores to a repository of the Hugging Face Hub, with one commit for each store.

A repository has no locks, so nothing is written there piece by piece: the copy is made and checked in a local folder
first, then sent as a whole. Readers never see half a store.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.exchange.transfer import Choice, Transfer, layout_below, transfer
from vadprobe.store.files.buckets.hub_client import Repository, ask
from vadprobe.store.files.location import is_there
from vadprobe.store.files.object_store import ForbiddenError, RemoteError, request
from vadprobe.store.files.remote_path import RemotePath
from vadprobe.store.files.text import counted
from vadprobe.store.progress import Progress
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.writer import check_place


def push_to_hub(source: FeatureStore, root: RemotePath, choice: Choice, report: Progress | None = None) -> Transfer:
    """Copy a finished store, or a part of it, into a repository; files that are already there are not sent again.

    Args:
        source: the store.
        root: `hf://datasets/OWNER/NAME[@REVISION]`, and folders.
        choice: the parts to copy.
        report: called with (done, total) partitions that are copied and checked before anything is sent.

    Raises:
        StoreError: if another store is in the way, the source is not finished or is damaged, or the repository was
            changed meanwhile.
        RemoteError, ForbiddenError: if the hub refuses, or gives no answer.
    """
    at = Repository.of(root.key)
    spec, contents = source.spec, choice.contents(source)
    before = request(root, lambda: ask(at, lambda api: _newest(api, at)))
    layout = layout_below(source, root)
    check_place(layout.store(spec.sampling, spec.backbone.key, spec.prompt.key), spec, source.clips, contents)
    with tempfile.TemporaryDirectory(prefix="vadprobe-push-") as folder:
        staging = Path(folder)
        if is_there(layout.videos):  # other stores of the data set share it
            kept = layout_below(source, staging).videos
            kept.parent.mkdir(parents=True)
            kept.write_bytes(layout.videos.read_bytes())
        done = transfer(source, staging, choice, report)
        if done.unwritten:
            raise StoreError(
                f"{source.path} is not finished: {counted(len(done.unwritten), 'partition')} not written yet. Nothing "
                "was sent; push the store when it is finished."
            )
        message = f"Features of {spec.dataset}: {spec.backbone.key}, prompt {spec.prompt.key}"
        _send(root, at, lambda api: _commit(api, at, staging, message, before))
    return done


def _newest(api: Any, at: Repository) -> str:
    return str(api.repo_info(at.name, revision=at.revision, repo_type="dataset").sha)


def _commit(api: Any, at: Repository, folder: Path, message: str, before: str) -> None:
    api.upload_folder(
        repo_id=at.name,
        folder_path=folder,
        path_in_repo=at.path or None,
        repo_type="dataset",
        revision=at.revision,
        commit_message=message,
        parent_commit=before,
        ignore_patterns=[".*", "*/.*"],  # locks of the copy
    )


def _send(root: RemotePath, at: Repository, action: Callable[[Any], None]) -> None:
    """Make a commit. It is not repeated after an error, since it may have been made in spite of it."""
    try:
        ask(at, action)
    except FileExistsError as error:
        raise StoreError(f"{root} was changed while the copy was made; give the same command again.") from error
    except PermissionError as error:
        raise ForbiddenError(root, str(error)) from error
    except OSError as error:
        raise RemoteError(f"{root} could not be written: {error}. Give the same command again.") from error
