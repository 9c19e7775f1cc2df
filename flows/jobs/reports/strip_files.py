"""Film strips as a file beside the results, so that a later page has them without the video files."""

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
    """Return the strips beside a result, by video; those of another file of that name are left out."""
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
    """Write strips, by video, with the fingerprints of the files that they show."""
    rows = [
        {"video_id": name, "fingerprint": fingerprints.get(name), "count": strip.count, "webp": strip.webp}
        for name, strip in sorted(strips.items())
    ]
    write_parquet(pa.Table.from_pylist(rows, _SCHEMA), folder / STRIPS)
