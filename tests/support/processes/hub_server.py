"""A small hub in this process: repositories of data sets with listings in pages, ranges, and commits of many files."""

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.support.processes.remote_servers import Faults, _Handler, _serving
from vadprobe.store.files import object_store

TOKEN = "hf_of_this_test"
PAGE = 7


@dataclass
class HubRepository:
    """Files of the only revision, `main`, and the commits that made them."""

    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[tuple[str, list[str]]] = field(default_factory=list)

    @property
    def newest(self) -> str:
        return f"{len(self.commits):040x}"


class _Hub(_Handler):
    repositories: dict[str, HubRepository]
    knows_ranges: bool

    def serve(self) -> None:
        parts = urlsplit(self.path)
        words = [unquote(word) for word in parts.path.strip("/").split("/")]
        is_api = words[0] == "api"
        words = words[is_api:]
        repository = self.repositories.get("/".join(words[1:3]))
        if repository is None or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"X-Error-Code": "RepoNotFound"}, b"{}")
            return
        action, revision, path = words[3], words[4], "/".join(words[5:])
        if revision != "main":
            self.answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        elif action == "resolve":
            self.resolve(repository, path)
        else:
            getattr(self, action.replace("-", "_"))(repository, path, parse_qs(parts.query))

    def say(self, value: object, headers: dict[str, str] | None = None) -> None:
        self.answer(200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def revision(self, repository: HubRepository, path: str, query: dict[str, list[str]]) -> None:
        self.say({"id": "team/features", "sha": repository.newest, "private": True, "tags": []})

    def tree(self, repository: HubRepository, path: str, query: dict[str, list[str]]) -> None:
        prefix = f"{path}/" if path else ""
        below = sorted(name for name in repository.files if name.startswith(prefix))
        if path and not below:
            self.answer(404, {"X-Error-Code": "EntryNotFound"}, b"{}")
            return
        folders = {
            prefix + "/".join(name.removeprefix(prefix).split("/")[:depth])
            for name in below
            for depth in range(1, name.removeprefix(prefix).count("/") + 1)
        }
        found = [{"type": "directory", "path": name, "oid": "0"} for name in sorted(folders)]
        found += [self.entry(repository, name) for name in below]
        if query.get("recursive", ["false"])[0].lower() != "true":
            found = [entry for entry in found if "/" not in str(entry["path"]).removeprefix(prefix)]
        start = int(query.get("cursor", ["0"])[0])
        more = {}
        if start + PAGE < len(found):
            again = "&".join(f"{name}={values[0]}" for name, values in query.items() if name != "cursor")
            address = f"http://{self.headers['Host']}{urlsplit(self.path).path}?{again}&cursor={start + PAGE}"
            more = {"Link": f'<{address}>; rel="next"'}
        self.say(found[start : start + PAGE], more)

    def entry(self, repository: HubRepository, name: str) -> dict[str, object]:
        content = repository.files[name]
        return {"type": "file", "path": name, "size": len(content), "oid": _blob(content)}

    def paths_info(self, repository: HubRepository, path: str, query: dict[str, list[str]]) -> None:
        names = parse_qs(self.body.decode())["paths"]
        self.say([self.entry(repository, name) for name in names if name in repository.files])

    def resolve(self, repository: HubRepository, path: str) -> None:
        content = repository.files.get(path)
        if content is None:
            self.answer(404, {"X-Error-Code": "EntryNotFound"}, b"")
            return
        first, _, last = (self.headers.get("Range") or "").removeprefix("bytes=").partition("-")
        if not (first or last) or not self.knows_ranges:
            self.answer(200, {}, content)
            return
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(len(content), int(last) + 1) if first and last else len(content)
        self.answer(206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}, content[start:stop])

    def preupload(self, repository: HubRepository, path: str, query: dict[str, list[str]]) -> None:
        asked = [one["path"] for one in json.loads(self.body)["files"]]
        known = {name: _blob(content) for name, content in repository.files.items()}
        answers = [
            {"path": name, "uploadMode": "regular", "shouldIgnore": False, "oid": known.get(name)} for name in asked
        ]
        self.say({"files": answers})

    def commit(self, repository: HubRepository, path: str, query: dict[str, list[str]]) -> None:
        header, *lines = [json.loads(line) for line in self.body.decode().splitlines()]
        if header["value"].get("parentCommit") != repository.newest:
            self.answer(412, {}, b'{"error": "not the newest"}')
            return
        files = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines}
        repository.files.update(files)
        repository.commits.append((header["value"]["summary"], sorted(files)))
        address = f"http://{self.headers['Host']}/datasets/team/features/commit/{repository.newest}"
        self.say({"commitUrl": address, "commitOid": repository.newest})


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # Git's object id of a file


@contextlib.contextmanager
def hub_at_hand(faults: Faults, knows_ranges: bool = True) -> Iterator[HubRepository]:
    """Run a hub with the empty repository `team/features`, set as the hub in this process's environment."""
    import huggingface_hub.constants

    repository = HubRepository()
    parts = {"faults": faults, "knows_ranges": knows_ranges, "repositories": {"team/features": repository}}
    with _serving(type("Hub", (_Hub,), parts)) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        patch.setenv("HF_TOKEN", TOKEN)
        object_store.connection.cache_clear()
        yield repository
        object_store.connection.cache_clear()
