"""Planning: every video becomes a row, readable or not; no weights are loaded; what changed since is refused."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.extractions import PROMPTS, SEGMENTS, dataset_in
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.pipeline.planning import ExtractionPlan, plan_extraction
from vadprobe.extract.pipeline.probing import probe_videos
from vadprobe.extract.video.decoder import NO_PROGRESS, Decoder
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.probed_videos import read_video_facts, write_video_facts
from vadprobe.store.datasets.video import Split, Video
from vadprobe.store.errors import StoreError, VadprobeError, VideoError
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import SHIPPED, Prompt
from vadprobe.store.format.specification import FeatureSpec

WHOLE = SamplingConfig(unit="video", frames_per_clip=4)
WriteVideo = Callable[..., Path]
MakePlan = Callable[..., ExtractionPlan]


@pytest.fixture
def videos(tmp_path: Path, video_folder: Path) -> Path:
    """The three readable videos beside three files that are none."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in video_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_bytes(b"This is not a video.\n" * 50)
    whole = (video_folder / "first.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def probed() -> list[bytes]:
    """Remember what the first plan found out about the videos, so that other tests start no process."""
    return []


@pytest.fixture
def make_plan(tmp_path: Path, videos: Path, describe_tiny: Callable[..., Description], probed: list[bytes]) -> MakePlan:
    description = describe_tiny("internvl")
    known = layout(tmp_path).videos

    def make(dataset: Dataset | None = None, *samplings: SamplingConfig, **settings: Any) -> ExtractionPlan:
        prompts = settings.pop("prompts", PROMPTS)
        progress = settings.pop("progress", None)
        config = ExtractionConfig(**{"device": "cpu", "batch_clips": 4, **settings})
        if probed and dataset is None and not known.exists():
            known.parent.mkdir(parents=True)
            known.write_bytes(probed[0])
        found, root = dataset or dataset_in(videos), tmp_path / "root"
        plan = plan_extraction(found, root, samplings or (SEGMENTS,), prompts, description, config, progress)
        if dataset is None and not probed:
            probed.append(known.read_bytes())
        return plan

    return make


def layout(tmp_path: Path) -> DatasetLayout:
    return DatasetLayout(tmp_path / "root", "set")


def split_dataset(videos: Path, splits: Mapping[str, Split]) -> Dataset:
    return Dataset("set", videos, tuple(Video(name, f"{name}.mp4", split=split) for name, split in splits.items()))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Rows


def test_every_video_is_a_row_and_the_unreadable_have_reasons(make_plan: MakePlan, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    plan = make_plan(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(number, 6) for number in range(1, 7)]
    assert {video.video_id for video in plan.videos} == {"first", "second", "third", "empty", "text", "truncated"}
    assert plan.unreadable.keys() == {"empty", "text", "truncated"}
    assert "0 bytes" in plan.unreadable["empty"]
    assert all(len(reason) > 10 for reason in plan.unreadable.values())
    found = {video.video_id: (video.n_frames, video.fps) for video in plan.videos if video.reason is None}
    assert found == {"first": (20, 25.0), "second": (33, 10.0), "third": (7, 25.0)}
    assert all(video.n_frames is None and video.fps is None for video in plan.videos if video.reason is not None)
    assert read_video_facts(layout(tmp_path).videos) == plan.videos


def test_the_library_that_counted_the_frames_is_recorded(videos: Path, tmp_path: Path, write_video: WriteVideo) -> None:
    write_video(videos / "transport.ts", 9)
    files = {"first": "first.mp4", "transport": "transport.ts", "empty": "empty.mp4"}
    dataset = Dataset("set", videos, tuple(Video(name, path, split="test") for name, path in files.items()))
    for asked, found in (("auto", "PyAV"), ("pyav", "PyAV"), ("decord", "decord")):
        facts = probe_videos(dataset, dataset.videos, layout(tmp_path), 20.0, reader=asked)
        assert [video.reader for video in facts] == [found, "PyAV", None]


def test_what_an_older_version_could_not_read_is_opened_again(videos: Path, tmp_path: Path) -> None:
    dataset, place = split_dataset(videos, {"first": "test", "second": "test"}), layout(tmp_path).videos
    dataset = replace(dataset, videos=dataset.videos[:2])
    before = probe_videos(dataset, dataset.videos, layout(tmp_path), 20.0)
    refused = [replace(facts, n_frames=None, fps=None, reason="not one frame can be decoded") for facts in before]
    write_video_facts([replace(refused[0], note=None), refused[1]], place)
    after = probe_videos(dataset, dataset.videos, layout(tmp_path), 20.0)
    assert after == (before[0], refused[1])


def test_a_video_of_the_dataset_without_a_file_is_a_row(make_plan: MakePlan, videos: Path) -> None:
    plan = make_plan(split_dataset(videos, {"first": "test", "gone": "test"}))
    assert plan.unreadable == {"gone": "the file cannot be opened: No such file or directory"}


def test_only_readable_videos_are_cut_into_clips(make_plan: MakePlan) -> None:
    clips = make_plan().samplings[0].clips
    assert clips.video_ids == ("first", "second", "third")
    lengths = (clips.stop_frames - clips.start_frames).tolist()
    assert lengths == [8, 8, 4, 8, 8, 8, 8, 1, 7]
    assert clips.frame_indices[-1].tolist() == [0, 2, 4, 6]


def test_rows_do_not_depend_on_the_order_of_the_videos(make_plan: MakePlan, videos: Path) -> None:
    dataset = dataset_in(videos)
    backwards = replace(dataset, videos=dataset.videos[::-1])
    assert make_plan(dataset).samplings[0].clips.digest == make_plan(backwards).samplings[0].clips.digest


def test_training_videos_come_first_and_other_splits_are_not_opened(make_plan: MakePlan, videos: Path) -> None:
    dataset = split_dataset(videos, {"first": "test", "second": "validation", "third": "train"})
    assert make_plan(dataset).samplings[0].clips.video_ids == ("third", "second", "first")
    only = make_plan(dataset, WHOLE.model_copy(update={"splits": ("test",)}))
    assert only.samplings[0].clips.video_ids == ("first",)
    assert [video.video_id for video in only.videos] == ["first"]


def test_two_samplings_and_two_prompts_are_four_stores(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan(None, SEGMENTS, WHOLE)
    assert [len(sampling.clips) for sampling in plan.samplings] == [9, 3]
    paths = [writer.path for sampling in plan.samplings for writer in sampling.writers]
    folder = layout(tmp_path).folder
    assert [str(path.relative_to(folder)) for path in paths] == [
        "segment-8-4/tiny/coarse.zarr",
        "segment-8-4/tiny/question.zarr",
        "video-4/tiny/coarse.zarr",
        "video-4/tiny/question.zarr",
    ]
    assert all((path / "zarr.json").exists() for path in paths)
    assert [sampling.pending() for sampling in plan.samplings] == [[0], [0]]
    assert plan.samplings[0].n_bytes == 9 * 2 * 4 * (7 * 128 + 6 * 8 * 16 + 2)


# The specification


def test_the_specification_names_what_decides_the_features(make_plan: MakePlan, tmp_path: Path) -> None:
    writer = make_plan().samplings[0].writers[1]
    spec = writer.spec
    assert (spec.dataset, spec.prompt, spec.n_clips) == ("set", SHIPPED["question"], 9)
    assert spec.clips_digest == writer.clips.digest == ClipTable.read(layout(tmp_path).clips(spec.sampling)).digest
    assert (spec.recipe["batch_clips"], spec.recipe["device"]) == (4, "cpu")
    assert {"frame_size", "chat_template", "answer_ids", "prefix"} <= spec.recipe.keys()
    assert "compile" not in spec.recipe  # so a store from before there was a choice goes on as it is
    assert FeatureSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_no_path_of_this_machine_is_stored_or_in_a_reason(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan()
    for name, content in contents(layout(tmp_path).clips(SEGMENTS.sampling()).parent).items():
        assert str(tmp_path).encode() not in content, name
    assert not [reason for reason in plan.unreadable.values() if str(tmp_path) in reason]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"batch_clips": 5}, r"recipe\.batch_clips: 4, not 5"),
        ({"compile": True}, r"recipe\.compile: .*, not True"),
        ({"prompts": (Prompt("coarse", "Is it raining?"),)}, r"prompt\.text"),
    ],
)
def test_another_specification_is_refused_by_name(make_plan: MakePlan, change: dict[str, Any], named: str) -> None:
    make_plan()
    with pytest.raises(StoreError, match=named):
        make_plan(**change)


def test_threads_and_deadline_do_not_decide_features(make_plan: MakePlan) -> None:
    before = [writer.spec.digest for writer in make_plan().samplings[0].writers]
    after = [writer.spec.digest for writer in make_plan(threads=2, decode_deadline=5.0).samplings[0].writers]
    assert after == before


# Without opening videos again


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the names of the videos that are opened from now on."""
    opened: list[str] = []
    probe = Decoder.probe
    monkeypatch.setattr(Decoder, "probe", lambda self, path: opened.append(path.name) or probe(self, path))
    return opened


def test_a_second_plan_opens_no_video(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    first, opened = make_plan(), watched(monkeypatch)
    second = make_plan()
    assert opened == []
    assert second.videos == first.videos
    assert second.samplings[0].clips.digest == first.samplings[0].clips.digest


def test_only_the_new_video_is_opened(
    make_plan: MakePlan, videos: Path, tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_plan()
    write_video(videos / "later.mp4", 5)
    opened = watched(monkeypatch)
    dataset = dataset_in(videos)
    found = probe_videos(dataset, dataset.videos, layout(tmp_path), 20.0)
    assert opened == ["later.mp4"]
    assert {video.video_id: video.n_frames for video in found}["later"] == 5


def test_a_video_that_became_readable_is_read(
    make_plan: MakePlan, videos: Path, tmp_path: Path, write_video: WriteVideo
) -> None:
    make_plan()
    write_video(videos / "empty.mp4", 6)
    dataset = dataset_in(videos)
    found = probe_videos(dataset, dataset.videos, layout(tmp_path), 20.0)
    assert {video.video_id: (video.n_frames, video.reason) for video in found}["empty"] == (6, None)


def test_a_video_that_was_too_slow_once_is_tried_again(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = split_dataset(videos, {"first": "test"})

    def be_late(self: Decoder, path: Path) -> None:
        raise VideoError(f"{NO_PROGRESS} for 0.1 s; the decoder was killed")

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "probe", be_late)
        (late,) = probe_videos(dataset, dataset.videos, layout(tmp_path), 0.1)
    assert late.reason is not None
    (again,) = probe_videos(dataset, dataset.videos, layout(tmp_path), 20.0)
    assert again.reason is None


def test_a_job_on_another_split_keeps_what_was_probed(make_plan: MakePlan, videos: Path, tmp_path: Path) -> None:
    dataset = split_dataset(videos, {"first": "train", "second": "test"})
    make_plan(dataset)
    make_plan(dataset, WHOLE.model_copy(update={"splits": ("test",)}))
    assert {video.video_id for video in read_video_facts(layout(tmp_path).videos)} == {"first", "second"}


# What is refused


@pytest.mark.parametrize("change", ["re-encoded", "longer", "removed", "added"])
def test_changed_videos_are_refused_and_nothing_is_changed(
    make_plan: MakePlan, videos: Path, tmp_path: Path, write_video: WriteVideo, change: str
) -> None:
    make_plan()
    before = contents(tmp_path / "root")
    path = videos / ("later.mp4" if change == "added" else "second.mp4")
    if change == "removed":
        path.unlink()
    else:
        write_video(path, 40 if change == "longer" else 33, rate=10, options={"g": "5", "crf": "30"})
    with pytest.raises(StoreError, match=r"videos were added, removed or re-encoded since\. Nothing was changed"):
        make_plan()
    assert contents(tmp_path / "root") == before


def test_new_videos_are_left_for_later_or_appended(
    make_plan: MakePlan, videos: Path, tmp_path: Path, write_video: WriteVideo
) -> None:
    make_plan()
    write_video(videos / "a.mp4", 17)  # by its name it would be the first
    before = contents(tmp_path / "root")
    later = make_plan(new_videos="later")
    assert later.samplings[0].clips.video_ids == ("first", "second", "third")
    assert later.notes[0] == "segment-8-4: 1 new video, 3 clips, left for a later run."
    changed = {name for name, content in contents(tmp_path / "root").items() if before.get(name) != content}
    assert changed == {"set/videos.parquet"}
    plan = make_plan(new_videos="append")
    assert plan.samplings[0].clips.video_ids == ("first", "second", "third", "a")
    assert plan.notes[0] == "segment-8-4: 1 new video, 3 clips, appended behind clip 8."
    again = make_plan()
    assert again.samplings[0].clips.digest == plan.samplings[0].clips.digest
    assert again.notes == plan.notes[1:]


def test_a_sampling_without_a_readable_video_is_refused(make_plan: MakePlan, videos: Path) -> None:
    dataset = split_dataset(videos, {"first": "train", "empty": "test"})
    test_only = SEGMENTS.model_copy(update={"splits": ("test",)})
    words = r"'segment-8-4' covers no readable video of dataset 'set' \(splits test\).* Not readable: empty: .*empty"
    with pytest.raises(VadprobeError, match=words):
        make_plan(dataset, test_only)


def test_a_job_of_which_one_sampling_is_refused_leaves_nothing_behind(
    make_plan: MakePlan, videos: Path, tmp_path: Path
) -> None:
    dataset = split_dataset(videos, {"first": "train"})
    test_only = SEGMENTS.model_copy(update={"clip_length": 4, "splits": ("test",)})
    with pytest.raises(VadprobeError, match="without one is of the split test"):
        make_plan(dataset, SEGMENTS.model_copy(update={"splits": ("train",)}), test_only)
    assert not list((tmp_path / "root").rglob("clips.parquet"))


def test_other_videos_before_anything_is_computed_may_take_the_place_of_the_first(
    make_plan: MakePlan, videos: Path, tmp_path: Path
) -> None:
    make_plan()
    (videos / "second.mp4").unlink()
    with pytest.raises(StoreError, match=r"remove .*segment-8-4, where nothing has been computed yet, and plan again"):
        make_plan()
    shutil.rmtree(tmp_path / "root" / "set" / "segment-8-4")
    assert make_plan().samplings[0].clips.video_ids == ("first", "third")
