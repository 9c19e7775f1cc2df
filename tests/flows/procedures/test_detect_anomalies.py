"""A folder that grows: each run looks at the new videos alone, and publishes the events of all."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.published import published
from vadprobe.detect.detector import Detector
from vadprobe.flows.procedures.steps import detection
from vadprobe.flows.procedures.steps.detection import batches, open_folder
from vadprobe.flows.runs.endings import UNREADABLE
from vadprobe.store.errors import VadprobeError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Prefect's own libraries


@pytest.mark.slow  # four runs of a flow
def test_each_run_looks_at_new_and_changed_videos_alone_with_one_model(
    prefect: None, detector: Path, write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vadprobe.flows.procedures.detect_anomalies import DetectionSettings, detect_anomalies

    monkeypatch.setenv("VADPROBE_JOBS", str(detector.parent))
    videos, out = detector.parent / "videos", detector.parent / "videos-detected"
    settings = DetectionSettings(device="cpu", threads=1)
    loaded: list[Detector] = []
    load = Detector.load
    monkeypatch.setattr(Detector, "load", lambda *a, **k: loaded.append(load(*a, **k)) or loaded[-1])

    def run(**more: object) -> tuple[str, list[str]]:
        before = {task.id for task in published().tasks}
        state = detect_anomalies("videos", "detector.json", settings=settings, return_state=True, **more)
        new = [task.name for task in published().tasks if task.id not in before]
        return f"{state.name}: {state.message}", new

    said, tasks = run()
    assert said.startswith("Completed: Looked at 2 of 2 videos; ")
    assert tasks == ["detect clip0.mp4", "detect clip1.mp4", "publish videos"]
    assert len(loaded) == 1

    (videos / "yard").mkdir()
    write_video(videos / "yard" / "clip2.mp4", n_frames=20)
    (videos / "broken.mp4").write_bytes(b"nothing" * 50)
    said, tasks = run()
    assert said.startswith(f"{UNREADABLE}: 1 video could not be read; ")
    assert "Looked at 2 of 4 videos" in said
    assert tasks == ["detect broken.mp4", "detect clip2.mp4", "publish videos"]

    said, tasks = run(strict=True)  # nothing is new; what could not be read still could not
    assert said.startswith("Failed: 1 video could not be read")
    assert tasks == ["publish videos"]
    (videos / "broken.mp4").unlink()
    write_video(videos / "broken.mp4", n_frames=16)
    said, tasks = run(watch_seconds=0.1)
    assert said.startswith("Completed: Looked at 1 of 4 videos; ")
    assert tasks == ["detect broken.mp4", "publish videos"]

    seen = published()
    rows = json.loads(seen.artifacts["events-videos"].data)
    with (out / "events.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert (
        {row["video"] for row in rows}
        == {row["video"] for row in table}
        <= {
            "clip0.mp4",
            "clip1.mp4",
            "yard/clip2.mp4",
            "broken.mp4",
        }
    )
    assert list(rows[0]) == ["video", "start", "end", "peak", "sentence"]
    assert float(rows[0]["peak"]) == max(round(float(row["peak_score"]), 3) for row in table)
    assert "highest at" in rows[0]["sentence"]
    assert '"broken.mp4"' in seen.artifacts["not-readable-videos"].data
    assert seen.artifacts["curve-videos-1"].data.startswith("data:image/png;base64,iVBOR")
    run_of = seen.runs[-1]
    assert run_of.name == f"videos {_digest(out)[:8]}"
    assert {"dataset:set", "backbone:tiny", "method:tiny"} <= set(run_of.tags)


def _digest(out: Path) -> str:
    (record, *_) = out.rglob("record.json")
    return str(json.loads(record.read_text())["about"]["detector"]["digest"])


def test_a_watched_folder_gives_what_is_there_in_batches_and_then_each_new_video(
    detector: Path, write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = detection.DetectionSettings(device="cpu", threads=1)
    videos = detector.parent / "videos"
    names = []
    with open_folder(str(videos), str(detector), str(detector.parent / "out"), settings) as folder:
        for batch in batches(folder, 30.0, seconds=3600.0):
            names.append(batch.name)
            assert detection.detect(folder, batch) == len(batch)
            if len(names) == 2:
                write_video(videos / "later.mp4", n_frames=8)
            if len(names) == 3:
                break
    assert names == ["clip0.mp4", "clip1.mp4", "later.mp4"]


def test_what_is_not_there_is_refused_before_anything_is_written(detector: Path) -> None:
    settings = detection.DetectionSettings(device="cpu", threads=1)
    with (
        pytest.raises(VadprobeError, match=r"nowhere must be a folder of videos"),
        open_folder(str(detector.parent / "nowhere"), str(detector), None, settings),
    ):
        pass
    assert not (detector.parent / "nowhere-detected").exists()
