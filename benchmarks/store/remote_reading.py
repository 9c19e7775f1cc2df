"""Requests, bytes and seconds of reading a store behind a URL, beside zarr-python and a file per video.

Run `python -m benchmarks.store.remote_reading`. The files lie on a web server of this process that answers ranges
after a delay, as an object store does; requests and bytes are counted there and do not depend on the machine, seconds
do.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.store.store_reading import Direct, NumpyPerVideo, Pattern, make_values, patterns
from tests.support.processes.remote_servers import Faults, web_server
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.transfer import Choice
from vadprobe.store.files.location import location
from vadprobe.store.files.remote_path import zarr_store
from vadprobe.store.format.layout import records_of
from vadprobe.store.reading.feature_store import FeatureStore


def by_vadprobe(store: FeatureStore, wanted: Pattern, blocks: int) -> np.ndarray:
    """Read the heads by FeatureStore."""
    if wanted.heads is None:
        return store.blocks(wanted.rows, range(blocks))
    return store.head_outputs(wanted.rows, wanted.heads)


def by_zarr(array: Any, wanted: Pattern) -> np.ndarray:
    """Read the heads by zarr-python."""
    start, stop = int(wanted.rows[0]), int(wanted.rows[-1]) + 1
    if wanted.heads is not None:
        return np.stack([array[start:stop, block, head] for block, head in wanted.heads], axis=1)
    return (
        np.concatenate([array[row : row + 1] for row in wanted.rows])
        if stop - start > len(wanted.rows)
        else array[start:stop]
    )


def by_files(url: Any, wanted: Pattern, sizes: argparse.Namespace) -> np.ndarray:
    """Read the heads from whole .npy files, one for each video."""
    count = sizes.video_clips
    found = []
    for video in np.unique(wanted.rows // count).tolist():
        content = url.joinpath(f"{video}.npy").read_bytes()
        values = np.frombuffer(content[-count * sizes.blocks * sizes.heads * sizes.head_dim * 2 :], np.uint16)
        values = values.reshape(count, sizes.blocks, sizes.heads, sizes.head_dim)
        values = values[wanted.rows[wanted.rows // count == video] - video * count]
        heads = wanted.heads
        found.append(values if heads is None else np.stack([values[:, b, h] for b, h in heads], axis=1))
    return np.concatenate(found)


def measured(faults: Faults, action: Callable[[], np.ndarray]) -> dict[str, float]:
    """Return requests, bytes and seconds of an action."""
    faults.reset()
    start = time.perf_counter()
    action()
    return {"requests": len(faults.requests), "bytes": faults.n_bytes, "seconds": time.perf_counter() - start}


def run(sizes: argparse.Namespace) -> dict[str, Any]:
    """Make the files, serve them, read them in every way; prints the tables."""
    faults, found = Faults(), {}
    folder = sizes.folder
    direct, files = Direct(folder / "x", sizes), NumpyPerVideo(folder / "npy", sizes)
    for partition in range(sizes.clips // 256):
        values = make_values(sizes, partition)
        direct.write(partition, values)
        files.write(partition, values)
    direct.finish()
    path = direct.path(sizes.clips)[0]
    five = patterns(sizes)["five heads, all rows"].heads or []
    compacted = compact(FeatureStore.open(path), folder / "compacted", Choice(heads=tuple(five))).writer.path
    with web_server(folder, faults) as address:
        url = location(address)

        def at(place: Path) -> Any:
            return url / str(place.relative_to(folder))

        faults.reset()
        store, short = FeatureStore.open(at(path)), FeatureStore.open(at(compacted))
        n_open = len(faults.requests)
        _ = store.records, short.records
        print(f"opening: {n_open // 2} requests and one for each of {sizes.clips // 256} records")
        array = zarr.open_array(zarr_store(at(path) / "head_outputs"), mode="r")
        faults.latency = sizes.latency
        for name, wanted in patterns(sizes).items():
            ways: dict[str, Callable[[], np.ndarray]] = {
                "store, vadprobe": lambda w=wanted: by_vadprobe(store, w, sizes.blocks),
                "store, zarr-python": lambda w=wanted: by_zarr(array, w),
                ".npy per video": lambda w=wanted: by_files(at(files.folder), w, sizes),
            }
            if wanted.heads is not None:
                ways["store, vadprobe compact"] = lambda w=wanted: by_vadprobe(short, w, sizes.blocks)
            useful = 2 * len(wanted.rows) * sizes.head_dim * len(wanted.heads or range(sizes.blocks * sizes.heads))
            found[name] = {way: measured(faults, action) for way, action in ways.items()}
            print(f"{name:<32}{'requests':>9}{'bytes read / useful':>21}{'seconds':>9}")
            for way, one in found[name].items():
                print(
                    f"  {way:<30}{one['requests']:9.0f}{one['bytes'] / useful:21.2f}{one['seconds']:9.2f}", flush=True
                )
    assert records_of(path).is_dir()
    return found


def main() -> None:
    """Read the sizes, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("clips", 2048), ("blocks", 28), ("heads", 28), ("head-dim", 128), ("video-clips", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes.folder = Path(folder)
        found = run(sizes)
    if sizes.json:
        sizes.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
