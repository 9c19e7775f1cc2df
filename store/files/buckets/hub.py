"""Repositories of data sets on the Hugging Face Hub, with the methods of a bucket's connection.

Keys are `OWNER/NAME/path`, or `OWNER/NAME@revision/path` with the slashes of the revision as `%2F`. A repository has no
locks, and every change is a commit: so nothing is written here file by file, see `vadprobe.store.exchange.hub_push`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import quote

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.buckets.hub_client import (
    FORBIDDEN,
    Repository,
    ask,
    closed,
    hub_api,
    library,
    request_headers,
)

ANSWER_SECONDS = 60.0
"""Seconds after which a request counts as unanswered."""

_NO_DATE = datetime.fromtimestamp(0, UTC)
_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


@dataclass(frozen=True)
class Answer:
    """Bytes of a file, and its size as `meta["size"]`."""

    content: bytes
    meta: dict[str, Any]

    def bytes(self) -> bytes:
        """Return the bytes."""
        return self.content


class HubFiles:
    """The files of all repositories of a hub."""

    def head(self, key: str) -> dict[str, Any]:
        """Return size and tag of a file; FileNotFoundError if there is none."""
        at = _repository(key)
        found = ask(at, lambda api: api.get_paths_info(at.name, [at.path], revision=at.revision, repo_type="dataset"))
        items = [_item(key.removesuffix(at.path), file) for file in found or () if _is_file(file)]
        if not items:
            raise FileNotFoundError(f"{key} does not exist")
        return items[0]

    def list(
        self, key: str | None, offset: str | None = None, chunk_size: int = 1000
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the files below a key in pages, those behind `offset` in the hub's order."""
        page, is_behind = [], offset is None
        for item in self._tree(key or "", recursive=True):
            if is_behind and "size" in item:
                page.append(item)
            is_behind = is_behind or item["path"] == offset
            if len(page) >= chunk_size:
                yield page
                page = []
        if page:
            yield page

    def list_with_delimiter(self, key: str | None) -> dict[str, Any]:
        """Return the folders and files right below a key."""
        found = list(self._tree(key or "", recursive=False))
        folders = [item["path"] for item in found if "size" not in item]
        return {"common_prefixes": folders, "objects": [item for item in found if "size" in item]}

    def get(self, key: str, options: dict[str, Any]) -> Answer:
        """Read a file, or its last bytes where the options name a range with a suffix."""
        suffix = options.get("range", {}).get("suffix")
        return self._get(key, None if suffix is None else f"-{suffix}")

    def get_ranges(self, key: str, starts: Sequence[int], ends: Sequence[int], coalesce: int) -> Sequence[bytes]:
        """Read the bytes `[start, end)` of each range; those with smaller gaps between them by one request."""
        found: dict[int, bytes] = {}
        for group in _groups(starts, ends, coalesce):
            first, last = starts[group[0]], max(ends[number] for number in group)
            content = self._get(key, f"{first}-{last - 1}").content if last > first else b""
            found |= {number: content[starts[number] - first : ends[number] - first] for number in group}
        return [found[number] for number in range(len(starts))]

    def put(self, key: str, content: bytes, **_: Any) -> NoReturn:
        """Refuse: a repository has no locks, and keeps every file of its past."""
        raise NotImplementedError(
            "a repository of the hub has no locks; write stores to a folder or a bucket, and give "
            "finished ones with 'vadprobe push'"
        )

    def delete(self, key: str) -> NoReturn:
        """Refuse: files of a repository are deleted on the hub's pages."""
        raise NotImplementedError("files of a repository are deleted on the hub's own pages")

    def _tree(self, key: str, recursive: bool) -> Iterator[dict[str, Any]]:
        """Yield files and folders below a key; folders have no size, and a path that is not there has nothing."""
        try:
            at = _repository(key)
        except FileNotFoundError:
            return  # above the repositories
        before = key.removesuffix(at.path).rstrip("/") + "/"

        def listed(api: Any) -> Iterator[Any]:
            options = {"revision": at.revision, "repo_type": "dataset", "recursive": recursive}
            return iter(api.list_repo_tree(at.name, at.path or None, **options))

        files = ask(at, listed) or iter(())
        while (file := ask(at, lambda _: next(files, None))) is not None:
            yield _item(before, file)

    def _get(self, key: str, wanted: str | None) -> Answer:
        at, api = _repository(key), hub_api()
        url = f"{api.endpoint}/datasets/{at.name}/resolve/{quote(at.revision, safe='')}/{quote(at.path)}"
        headers = {
            **request_headers(),
            **({"Range": f"bytes={wanted}"} if wanted else {}),
            "Accept-Encoding": "identity",
        }
        try:
            answer = library("utils").get_session().get(url, headers=headers, timeout=ANSWER_SECONDS)
        except library("errors").HTTPError as error:
            raise ConnectionError(str(error).partition("\n")[0] or type(error).__name__) from error
        status = answer.status_code
        if status in FORBIDDEN:
            raise PermissionError(closed(at, status))
        if status == 404:
            raise FileNotFoundError(f"{key} does not exist")
        if status not in (200, 206):
            raise ConnectionError(f"the hub answers with status {status}")
        content = answer.content
        whole = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if status == 206 and whole:
            return Answer(content, {"size": int(whole[1])})
        size, (first, _, last) = len(content), (wanted or "0-").partition("-")
        start = int(first) if first else max(0, size - int(last))
        return Answer(content[start : int(last) + 1 if first and last else size], {"size": size})


def _repository(key: str) -> Repository:
    try:
        return Repository.of(key)
    except VadprobeError as error:
        raise FileNotFoundError(str(error)) from error


def _is_file(found: Any) -> bool:
    return hasattr(found, "size")


def _item(before: str, found: Any) -> dict[str, Any]:
    """Return a file or folder in the form of a bucket's listing; folders have no size."""
    path = before + found.path
    if not _is_file(found):
        return {"path": path}
    tag = found.lfs.sha256 if found.lfs else found.blob_id
    return {"path": path, "size": found.size, "e_tag": tag, "last_modified": _NO_DATE}


def _groups(starts: Sequence[int], ends: Sequence[int], gap: int) -> list[list[int]]:
    """Group the indices of byte ranges so that the gaps within a group are at most `gap` bytes."""
    groups: list[list[int]] = []
    reached = 0
    for number in sorted(range(len(starts)), key=lambda number: starts[number]):
        if groups and starts[number] - reached <= gap:
            groups[-1].append(number)
        else:
            groups.append([number])
        reached = max(ends[number], reached if groups[-1][0] != number else 0)
    return groups
