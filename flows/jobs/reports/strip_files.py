"""Film strips in a file beside the results, so that a later page needs no video files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vadprobe.analyze.report.part import FilmStrip
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.files.parquet import read_parquet, write_parquet

STRIPS = "strips.parquet"
_SCHEMA = pa.schema({"video_id": pa.string(), "fingerprint": pa.string(), "count": pa.int32(), "webp": pa.binary()})


def read_film_strips(folder: Path, probed: Sequence[VideoFacts]) -> dict[str, FilmStrip]:
    """Return the strips beside a result, by video; a strip is left out if the video's file has changed since."""
    path = folder / STRIPS
    if not path.exists():
        return {}
    fingerprints = {video.video_id: video.fingerprint for video in probed}
    rows: list[dict[str, Any]] = read_parquet(path).to_pylist()
    return {
        row["video_id"]: FilmStrip(row["webp"], row["count"])
        for row in rows
        if fingerprints.get(row["video_id"]) == row["fingerprint"]
    }


def write_strips(folder: Path, strips: Mapping[str, FilmStrip], fingerprints: Mapping[str, str]) -> None:
    """Write strips, by video, with the fingerprints of the video files."""
    rows = [
        {"video_id": name, "fingerprint": fingerprints.get(name), "count": strip.count, "webp": strip.webp}
        for name, strip in sorted(strips.items())
    ]
    write_parquet(pa.Table.from_pylist(rows, _SCHEMA), folder / STRIPS)
