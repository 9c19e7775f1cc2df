"""The format changes only with its version, and readers refuse and ignore what FORMAT.md says."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import builders
from tests.support import format_page as page
from tests.support.builders import FEATURES, committed_store, edit_json, planned_store
from vadprobe.store.datasets.probed_videos import VideoFacts, write_video_facts
from vadprobe.store.errors import StoreError
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.transfer import Choice
from vadprobe.store.format.layout import DatasetLayout, clips_of, records_of
from vadprobe.store.format.specification import FORMAT_VERSION
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.partition_data import PartitionData

GOLDEN = {
    1: {
        "metadata of bfloat16": "f935f7179a88ebe8",
        "values of bfloat16": "666bdab170a9ce6b",
        "metadata of float16": "7de17ce2f019937c",
        "values of float16": "8e74c112dec0d90d",
        "metadata of float32": "d64d137b7c5e71c1",
        "values of float32": "666bdab170a9ce6b",
        "attributes of a store": "66580a8e9a9620e7",
        "record of a store": "7602e48813b47739",
        "files of a store": "7e14bab231465a50",
        "attributes of a partial store": "96a6f358ecefe832",
        "record of a partial store": "340e49e7741c9e46",
        "files of a partial store": "ffad3591ddabce75",
        "attributes of a compacted store": "fa31c644b45eb799",
        "record of a compacted store": "021c18f896c3b888",
        "files of a compacted store": "7e14bab231465a50",
        "columns of clips.parquet": "0e04175f2a041221",
        "columns of clip_videos.parquet": "ffbd9ebf2e2cf2dc",
        "columns of videos.parquet": "6da634cac3dc8fd3",
        "digests": "d337e16921d2baac",
        "checksums": "5c498446d1540808",
    },
    2: {
        "absent ragged heads": "4502020895492f56",
        "digest at a position": "38c0eafe1dc0581d",
        "digests of ragged heads": "aeed23c2e45bca99",
        "metadata of ragged heads": "1fda6c3041a8ec06",
        "prompt at a position": "2a78a3e4e531b73e",
        "specification of ragged heads": "60711481a8bfd086",
        "zeros of ragged heads": "5cd3131614ba5e42",
    },
}
"""By format version, digests of the parts of the format. An entry changes only by what the page's rule allows."""


def plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what an array's metadata say of its bytes, however a version of Zarr words it."""
    names = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs", "dimension_names")
    text = json.dumps({name: metadata[name] for name in names})
    return json.loads(text.replace(', "configuration": {}', ""))


def kinds(value: Any) -> Any:
    """Keys and types of a JSON value."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    return [kinds(item) for item in value] if isinstance(value, list) else type(value).__name__


def counted_store(root, dtype: str):
    """A store whose values count, with a row that failed."""
    writer = planned_store(root, 300, dtype)
    for partition, first in enumerate((0, 256)):
        data = PartitionData.empty(writer.spec, min(256, 300 - first))
        for name in FEATURES:
            values = getattr(data, name)
            values.reshape(-1)[:] = np.arange(values.size) % 251 - 125  # exact in every dtype
            if partition == 0:
                values[3] = np.nan
        writer.write_partition(partition, data if partition else replace(data, failures={3: "broken"}))
    writer.commit()
    return writer.path


def parts(folder) -> dict[str, Any]:
    """All that stores of a fixed specification make of the format."""
    found: dict[str, Any] = {}
    clips = builders.clip_table(300)
    for dtype in ("bfloat16", "float16", "float32"):
        store = counted_store(folder / dtype, dtype)
        arrays = {path.parent.name: json.loads(path.read_text()) for path in sorted(store.glob("*/zarr.json"))}
        found[f"metadata of {dtype}"] = {name: plain(one) for name, one in arrays.items()}
        values = [page.read_array(store, name)[0].tobytes() for name in FEATURES]
        found[f"values of {dtype}"] = [hashlib.sha256(one).hexdigest() for one in values]
    held = StoredParts.of(builders.BACKBONE, 300, [1], [(0, 2)], False, [0], [0])
    partial = planned_store(folder / "partial", 300, contents=held)
    partial.write_partition(0, builders.features(partial.spec, 0))
    whole, folders = next((folder / "bfloat16").glob("*/*/*/*.zarr")), ("bfloat16", "partial", "compacted")
    compact(FeatureStore.open(whole), folder / "compacted", Choice(), 280)
    for name, path in zip(("store", "partial store", "compacted store"), map(folder.joinpath, folders), strict=True):
        (store,) = path.glob("*/*/*/*.zarr")
        record = json.loads((records_of(store) / "000000.json").read_text())
        for shard in record["shards"].values():
            del shard["sha256"], shard["bytes"]  # they depend on the version of the compressor
        attributes = json.loads((store / "zarr.json").read_text())["attributes"]
        found["checksums"] = kinds(attributes["vadprobe"].pop("checksums"))  # older stores have none
        found[f"attributes of a {name}"] = kinds(attributes)
        found[f"record of a {name}"] = {**record, "digest": ""}
        found[f"files of a {name}"] = sorted(
            file.relative_to(path).as_posix()
            for file in path.rglob("*")
            if file.is_file() and not file.name.startswith(".")
        )
    write_video_facts([VideoFacts("a", "test", 1, 25.0, "f")], DatasetLayout(folder, "toys").videos)
    for file in (*(folder / "bfloat16").rglob("clip*.parquet"), folder / "toys" / "videos.parquet"):
        found[f"columns of {file.name}"] = [[field.name, str(field.type)] for field in pq.read_schema(file)]
    found["digests"] = [clips.digest, partial.spec.digest, held.digest, clips.row_digest(slice(0, 256))]
    return found


def ragged_parts(folder) -> dict[str, Any]:
    """Describe the format of a backbone whose blocks differ in their heads: all of version 2."""
    writer = builders.committed_store(folder / "ragged", 300, backbone=builders.RAGGED)
    metadata = json.loads((writer.path / "head_outputs" / "zarr.json").read_text())
    values, _ = page.read_array(writer.path, "head_outputs")
    return {
        "metadata of ragged heads": plain(metadata),
        "absent ragged heads": np.isnan(values).all(axis=(0, 3)).tolist(),
        "zeros of ragged heads": (values == 0).all(axis=0).tolist(),
        "specification of ragged heads": kinds(writer.spec.to_json()),
        "digests of ragged heads": writer.spec.digest,
    }


def position_parts() -> dict[str, Any]:
    """Describe the format of a prompt with a text before the video, read at other tokens."""
    prompt = replace(builders.PROMPT, before="A camera.").at("mean-vision")
    spec = builders.feature_spec(builders.clip_table(300), prompt=prompt)
    return {
        "prompt at a position": spec.to_json()["prompt"],
        "digest at a position": [spec.digest, spec.format_version],
    }


def test_the_format_changes_only_with_its_version(tmp_path):
    found = {name: page.digest(part)[:16] for name, part in parts(tmp_path).items()}
    found |= {name: page.digest(part)[:16] for name, part in {**ragged_parts(tmp_path), **position_parts()}.items()}
    assert FORMAT_VERSION in GOLDEN, f"add the new version to GOLDEN in {__file__}: {FORMAT_VERSION}: {found}"
    golden = {name: part for version in GOLDEN.values() for name, part in version.items()}
    differing = sorted(name for name in found.keys() | golden.keys() if found.get(name) != golden.get(name))
    assert not differing, (
        f"the format has changed in {', '.join(differing)}, but its version is still {FORMAT_VERSION}. Undo that; or "
        "raise FORMAT_VERSION in store/format/specification.py, let readers read the version before, and say in "
        "store/format/FORMAT.md what is new. If the rule under 'Versions' on that page allows the change without a "
        f"new version, change GOLDEN to { {name: found.get(name) for name in differing} }."
    )


@pytest.fixture
def store(tmp_path):
    return committed_store(tmp_path, 300, failures={3: "broken"}).path


def _unknown_key_of_the_specification(attributes):
    attributes["spec"]["temperature"] = 1
    attributes["digest"] = page.digest(attributes["spec"])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda found: found.update(format_version=3), "has format version 3, this vadprobe reads up to 2; update"),
        (_unknown_key_of_the_specification, "temperature"),
        (lambda found: found.update(contents={"tokens": [1]}), "the attribute 'contents' is not valid .*tokens"),
    ],
)
def test_a_later_version_and_unknown_keys_of_what_decides_values_are_refused(store, edit, said):
    edit_json(store / "zarr.json", lambda group: edit(group["attributes"]["vadprobe"]))
    with pytest.raises(StoreError, match=said):
        FeatureStore.open(store)


def test_unknown_keys_elsewhere_are_ignored(store):
    def edit_record(record):
        record["note"] = "new"
        record["digest"] = page.digest({key: value for key, value in record.items() if key != "digest"})

    edit_json(store / "zarr.json", lambda group: group["attributes"]["vadprobe"].update(note="new"))
    edit_json(store / "zarr.json", lambda group: group["attributes"].update(note="the user's"))
    edit_json(records_of(store) / "000000.json", edit_record)
    table = pq.ParquetFile(clips_of(store)).read()
    table = table.append_column("note", pa.array(["new"] * len(table)))
    pq.write_table(table, clips_of(store))
    found = FeatureStore.open(store).answer_logits(np.arange(300))
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [3]


@pytest.mark.parametrize("damage", ["no record", "another record", "no shard", "an empty shard", "a longer shard"])
def test_what_a_reader_must_check_is_checked(store, damage):
    record, shard = records_of(store) / "000000.json", store / "answer_logits" / "c" / "0" / "0"
    if damage == "no record":
        record.unlink()
    elif damage == "another record":
        shutil.copyfile(records_of(store) / "000001.json", record)
    elif damage == "no shard":
        shard.unlink()
    else:
        shard.write_bytes(b"" if damage == "an empty shard" else b"0000" + shard.read_bytes())
    with pytest.raises(StoreError, match=r"not written yet|changed after|is missing|is damaged"):
        FeatureStore.open(store).answer_logits(np.arange(5))
    values, written = np.zeros(0), np.zeros(0, bool)
    try:
        values, written = page.read_array(store, "answer_logits")
    except AssertionError:
        return
    assert damage in ("no record", "another record")
    assert np.isnan(values[:256]).all()
    assert not written[:256].any()
    assert re.fullmatch(r"\d{6}\.json", record.name)
