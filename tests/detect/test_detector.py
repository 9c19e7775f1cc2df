"""The public detector: the scores and events of the cached pipeline, and refusals that name the part."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.detect.conftest import Cached, extracted
from tests.support.builders import edit_json
from vadprobe.analyze.detector.detector import Detector as FittedDetector
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.locator.segments import ANOMALOUS, cut_segments
from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.detect import DetectionOptions, Detector, Event
from vadprobe.detect.sources.frames import TimedFrame
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import VadprobeError, VideoError

TOLERANCE = 1e-5


def written(fitted: FittedDetector, folder: Path) -> Path:
    fitted.write(folder / "detector.json")
    return folder / "detector.json"


def pipeline(cached: Cached, fitted: FittedDetector, video: str) -> dict[str, np.ndarray]:
    """Return what the cached pipeline finds in one video."""
    table = cached.store.clips
    rows = table.rows_of([video])
    raw = fitted.probe.score(read_selected(cached.store, fitted.selection, rows))
    smoothed = smooth(raw, fitted.locator.sigma, smoothing=fitted.locator.smoothing)
    starts, stops = table.start_frames[rows], table.stop_frames[rows]
    cut = cut_segments(smoothed, starts, stops, np.zeros(len(rows), dtype=np.int64), fitted.locator.threshold)
    events = np.stack([cut.start_frames, cut.stop_frames, cut.peak_frames])[:, cut.kinds == ANOMALOUS]
    return {"raw": raw, "smoothed": smoothed, "starts": starts, "stops": stops, "events": events.T}


class Pictures:
    """The frames of a file as a live source would give them."""

    notes = ()

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        with Decoder() as decoder:
            count, self.fps = decoder.probe(path)
            self.pixels = decoder.read_clip(path, range(count))

    def frames(self) -> Any:
        for index, pixels in enumerate(self.pixels):
            yield TimedFrame(index, index / self.fps, pixels)

    def close(self) -> None:
        return None


@pytest.mark.parametrize("unit", ["layer", "head"])
@pytest.mark.parametrize("live", [False, True], ids=["file", "source"])
def test_a_video_has_the_scores_and_events_of_the_cached_pipeline(
    cached: Cached, video_folder: Path, tmp_path: Path, unit: str, live: bool
) -> None:
    fitted = cached.detector(unit)
    n_events = 0
    with Detector.load(written(fitted, tmp_path), device="cpu", threads=1) as detector:
        for name in ("first", "second", "third"):
            path = video_folder / f"{name}.mp4"
            found = list(detector.watch(Pictures(path) if live else path))
            segments = [item for item in found if not isinstance(item, Event)]
            events = [item for item in found if isinstance(item, Event)]
            wanted = pipeline(cached, fitted, name)
            assert [item.start_frame for item in segments] == wanted["starts"].tolist()
            assert [item.stop_frame for item in segments] == wanted["stops"].tolist()
            np.testing.assert_allclose([item.score for item in segments], wanted["raw"], atol=TOLERANCE)
            np.testing.assert_allclose([item.smoothed for item in segments], wanted["smoothed"], atol=TOLERANCE)
            places = [[event.start_frame, event.stop_frame, event.peak_frame] for event in events]
            assert places == wanted["events"].tolist()
            n_events += len(events)
    assert n_events > 0


def test_heads_of_a_hybrid_score_as_in_the_cached_pipeline(
    video_folder: Path, tmp_path: Path, describe_tiny: Any, tiny_backbones: Any
) -> None:
    hybrid = extracted(tmp_path, video_folder, describe_tiny, tiny_backbones, "qwen3_5", frame_size=(64, 96))
    fitted = hybrid.detector("head", heads=((7, 2), (3, 0)))  # most of its other blocks have no heads
    with Detector.load(written(fitted, tmp_path), device="cpu", threads=1) as detector:
        found = [item for item in detector.watch(video_folder / "first.mp4") if not isinstance(item, Event)]
    np.testing.assert_allclose(
        [item.score for item in found], pipeline(hybrid, fitted, "first")["raw"], atol=TOLERANCE, rtol=0
    )
    edit_json(tmp_path / "detector.json", lambda content: content["selection"].update(indices=[[7, 2], [4, 0]]))
    with pytest.raises(VadprobeError, match=r"names head \(4, 0\), which the backbone does not have"):
        Detector.load(tmp_path / "detector.json", device="cpu")


def test_a_transductive_detector_meets_no_new_video(cached: Cached, tmp_path: Path) -> None:
    fitted = cached.detector("head")
    seen = replace(fitted, provenance={**fitted.provenance, "unlabelled_on": {"first": "sha256:1"}})
    with pytest.raises(VadprobeError, match=r"is transductive.*the 1 videos.*probe\.statistics = 'calibration'"):
        Detector.load(written(seen, tmp_path), device="cpu")


def test_a_causal_detection_gives_every_segment_at_once(cached: Cached, video_folder: Path, tmp_path: Path) -> None:
    path = written(cached.detector("head"), tmp_path)
    with Detector.load(path, device="cpu", threads=1) as detector:
        stream, segments = detector.open(video_folder / "second.mp4", DetectionOptions(look_ahead=0, batch=1))
        assert stream.delay == 0
        first = next(stream.run(segments))
        assert not isinstance(first, Event)
        assert first.score == first.smoothed
        with pytest.raises(VadprobeError, match="look-ahead must be 0 to 3"):
            next(detector.watch(video_folder / "second.mp4", DetectionOptions(look_ahead=9)))
        with pytest.raises(VideoError, match="does not exist"):
            next(detector.watch(tmp_path / "none.mp4"))


@pytest.mark.parametrize(
    ("place", "value", "part"),
    [
        (("features", "backbone", "revision"), "sha256:other", "revision"),
        (("features", "backbone", "n_layers"), 7, "backbone"),
        (("features", "recipe", "frame_size"), [84, 84], "frame size"),
        (("features", "recipe", "chat_template"), "other", "chat template"),
        (("features", "recipe", "patch"), [2, 16, 2], "recipe"),
    ],
)
def test_another_backbone_is_refused_with_the_part_named(
    cached: Cached, tmp_path: Path, place: tuple[str, ...], value: Any, part: str
) -> None:
    path = written(cached.detector("head"), tmp_path)

    def edit(content: Any) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    edit_json(path, edit)
    with pytest.raises(VadprobeError, match=rf"is not the one that .* {part} \({'.'.join(place[1:])}: "):
        Detector.load(path, device="cpu")


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("chat_template.jinja", "a helpful assistant", "a guard", r"chat template \(recipe.chat_template: "),
        ("config.json", '"silu"', '"gelu"', r"revision \(backbone.revision: "),
    ],
)
def test_another_checkpoint_is_refused_with_the_part_named(
    cached: Cached, tmp_path: Path, file: str, old: str, new: str, part: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(cached.backbone, other)
    text = (other / file).read_text()
    assert old in text
    (other / file).write_text(text.replace(old, new))
    with pytest.raises(VadprobeError, match=part):
        Detector.load(written(cached.detector("head"), tmp_path), backbone=str(other), device="cpu")


def test_a_detector_names_sampling_prompt_and_dtype_that_differ(cached: Cached) -> None:
    fitted = cached.detector("layer")
    spec = fitted.features
    others = {
        "sampling": replace(spec, sampling=replace(spec.sampling, clip_length=16)),
        "prompt": replace(spec, prompt=replace(spec.prompt, text="Else?")),
        "dtype": replace(spec, backbone=replace(spec.backbone, dtype="bfloat16")),
    }
    for part, other in others.items():
        with pytest.raises(VadprobeError, match=rf"other features than the store holds: {part} \("):
            fitted.check(other)
    fitted.check(replace(spec, prompt=replace(spec.prompt, key="renamed"), dataset="another"))


def test_the_backbone_is_found_near_the_file_and_refused_by_name_where_it_is_not(
    cached: Cached, tmp_path: Path
) -> None:
    fitted = cached.detector("head")
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "tiny").symlink_to(cached.backbone)
    (tmp_path / "results").mkdir()
    near = replace(fitted, packed={"backbone": {**fitted.packed["backbone"], "path": "backbones/tiny"}})
    detector = Detector.load(written(near, tmp_path / "results"), device="cpu")
    assert "random weights" in detector.notes()[0]
    assert detector.notes()[-1] == "A note."
    with pytest.raises(VadprobeError, match="'nowhere' is neither in the current folder"):
        Detector.load(tmp_path / "results" / "detector.json", backbone="nowhere")
    lone = replace(fitted, packed={"backbone": {**fitted.packed["backbone"], "path": "backbones/gone"}})
    with pytest.raises(VadprobeError, match="'backbones/gone', which the detector's file names, is neither in"):
        Detector.load(written(lone, tmp_path / "results"), device="cpu")  # and no hub is asked: a folder was probed
    moved = replace(fitted, packed={"backbone": {**fitted.packed["backbone"], "path": "/other/machine/backbones/tiny"}})
    (tmp_path / "results" / "tiny").symlink_to(cached.backbone)
    Detector.load(written(moved, tmp_path / "results"), device="cpu")  # sent together
    (tmp_path / "results" / "tiny").unlink()
    told = r"names, does not exist\. Name with --backbone .*sha256:"
    with pytest.raises(VadprobeError, match=told):
        Detector.load(tmp_path / "results" / "detector.json", device="cpu")


def test_a_detection_that_is_left_early_ends_its_decoder_and_the_next_begins_anew(
    cached: Cached, video_folder: Path, tmp_path: Path
) -> None:
    detector = Detector.load(written(cached.detector("head"), tmp_path), device="cpu", threads=1)
    options, path = DetectionOptions(batch=1, look_ahead=0), video_folder / "second.mp4"
    whole = [item.score for item in detector.watch(path, options) if not isinstance(item, Event)]
    assert detector._decoder is None
    with detector:
        for _ in range(2):
            found = detector.watch(path, options)
            first = next(item for item in found if not isinstance(item, Event))
            assert first.score == pytest.approx(whole[0], abs=TOLERANCE)
            found.close()  # type: ignore[attr-defined]
        assert detector._decoder is not None
    assert detector._decoder is None
