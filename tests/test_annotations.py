"""Annotation readers on the real files and on every disguise they come in; joining by name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_evaluation import NO_SHARED, SHARED, frame_counts

from vadprobe.store.annotations import (
    Annotation,
    absent,
    annotate,
    label_by_name,
    read_ucf_crime,
    read_xd_violence,
    ucf_crime_name,
    video_name,
    xd_violence_name,
)
from vadprobe.store.datasets import VIDEO_SUFFIXES, Dataset
from vadprobe.store.errors import VadprobeError
from vadprobe.store.records import Interval, Video

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
UCF = SHARED / "ucf-crime"
XD = SHARED / "xd-violence"
UCF_LINES = (
    "Abuse028_x264.mp4  Abuse  165  240  -1  -1  ",
    "Arson011_x264.mp4  Arson  150  420  680  1267  ",
    "Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  ",
)


def written(folder, text):
    path = folder / "annotation.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def made(*videos, intervals=()):
    return Dataset("made", SHARED, tuple(videos), tuple(intervals))


def expected():
    return json.loads((SHARED / "expected.json").read_text())


def positives(dataset):
    return sum(int(dataset.truth(video.video_id, video.n_frames).sum()) for video in dataset.videos)


def real(folder, rule=lambda n: n):
    counts = {name: rule(frames) for name, frames in frame_counts(folder.name).items()}
    return made(*(Video(name, "", n_frames=frames) for name, frames in counts.items()))


@needs_shared
def test_ucf_crime_as_published():
    facts = expected()["ucf_crime"]
    lines = read_ucf_crime(UCF / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt")
    assert len(lines) == facts["test_videos"] == 290
    assert sum(line.label == 0 for line in lines) == facts["test_normal"] == 150
    assert sum(line.label == 1 for line in lines) == facts["test_abnormal"] == 140
    assert sum(len(line.intervals) == 2 for line in lines) == facts["two_interval_videos"] == 16
    assert max(len(line.intervals) for line in lines) == 2
    assert len({line.category for line in lines}) == 14
    dataset = annotate(real(UCF), lines)
    assert absent(dataset, lines) == ()
    assert sum(video.n_frames for video in dataset.videos) == facts["frames_total"]
    assert positives(dataset) == facts["positive_frames_halfopen"] == 84182
    assert all(video.label is not None for video in dataset.videos)


@needs_shared
def test_ucf_crime_intervals_that_end_after_their_video_are_cut_there():
    facts = expected()["ucf_crime"]["end_beyond_length"]
    lines = read_ucf_crime(UCF / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt")
    dataset = annotate(real(UCF), lines)
    before = {line.video_id: line.intervals[-1].stop_frame for line in lines if line.intervals}
    after = {name: dataset.intervals_of(name)[-1].stop_frame for name in before}
    assert {name: [before[name], after[name]] for name in before if before[name] != after[name]} == facts


@needs_shared
def test_xd_violence_as_published():
    facts = expected()["xd_violence"]
    lines = read_xd_violence(XD / "annotations.txt")
    assert len(lines) == facts["annotation_lines"] == 500
    assert max(len(line.intervals) for line in lines) == facts["max_intervals"] == 22
    text = (XD / "annotations.txt").read_text()
    assert sum(row.split()[0].endswith(".mp4") for row in text.splitlines()) == facts["lines_with_mp4_suffix"] == 14
    dataset = annotate(label_by_name(real(XD), xd_violence_name), lines)
    assert absent(dataset, lines) == (), "the names with .mp4 must join too"
    assert len(dataset.videos) == facts["test_videos"] == 800
    assert sum(video.label == 0 for video in dataset.videos) == facts["test_normal"] == 300
    assert sum(video.label == 1 for video in dataset.videos) == facts["test_abnormal"] == 500
    assert positives(dataset) == facts["positive_frames_full"] == 538324


@needs_shared
def test_xd_violence_by_the_common_ground_truth_rule():
    facts = expected()["xd_violence"]
    dataset = annotate(real(XD, lambda n: (n - 1) // 16 * 16), read_xd_violence(XD / "annotations.txt"))
    assert sum(video.n_frames for video in dataset.videos) == facts["frames_gt_rule"]
    assert positives(dataset) == facts["positive_frames_gt_rule"] == 537805


@needs_shared
def test_labels_of_training_videos_come_from_their_names():
    facts = expected()
    ucf = [ucf_crime_name(video_name(row.split("/")[-1])) for row in (UCF / "Anomaly_Train.txt").read_text().split()]
    assert len(ucf) == facts["ucf_crime"]["train_videos"]
    assert sum(label for label, _ in ucf) == facts["ucf_crime"]["train_abnormal"] == 810
    xd = [xd_violence_name(video_name(row)) for row in (XD / "train_videos.txt").read_text().splitlines()]
    assert len(xd) == facts["xd_violence"]["train_videos"]
    assert sum(label for label, _ in xd) == facts["xd_violence"]["train_abnormal"] == 1905


@needs_shared
def test_ucf_crime_names_agree_with_the_annotations_classes():
    for line in read_ucf_crime(UCF / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt"):
        assert ucf_crime_name(line.video_id) == (line.label, line.category)


@needs_shared
def test_the_multiclass_file_of_xd_violence_is_refused_as_another_format():
    with pytest.raises(VadprobeError, match=r"annotations_multiclasses.txt, line 1: got 'v=S-7rRLrxnVQ"):
        read_xd_violence(XD / "annotations_multiclasses.txt")


def test_a_line_in_full(tmp_path):
    first, second, normal = read_ucf_crime(written(tmp_path, "\n".join(UCF_LINES)))
    assert first == Annotation("Abuse028_x264", 1, "Abuse", (Interval("Abuse028_x264", 165, 240, "Abuse"),))
    assert [(i.start_frame, i.stop_frame) for i in second.intervals] == [(150, 420), (680, 1267)]
    assert normal == Annotation("Normal_Videos_003_x264", 0, "Normal")


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r\n") + "\r\n",
        lambda text: text.replace(".mp4", ""),
        lambda text: text.replace(".mp4", ".MP4"),
        lambda text: text.replace("  ", "\t"),
        lambda text: text.replace("  ", " "),
        lambda text: "\n\n" + text.replace("\n", "\n\n") + "\n \n",
        lambda text: "\ufeff" + text,
        lambda text: text.replace("  -1  -1  \n", "\n", 1),
        lambda text: text.replace("165  240  -1  -1", "-1  -1  165  240"),
        lambda text: text.replace("165  240  -1  -1", "165  240  -1  -1  -1  -1"),
    ],
)
def test_disguises_of_one_file_read_alike(tmp_path, disguise):
    plain = "\n".join(UCF_LINES)
    assert disguise(plain) != plain
    assert read_ucf_crime(written(tmp_path, disguise(plain))) == read_ucf_crime(written(tmp_path, plain))


@pytest.mark.parametrize(
    ("convention", "frames"), [("half-open", (10, 20)), ("closed", (10, 21)), ("closed-from-1", (9, 20))]
)
def test_conventions(tmp_path, convention, frames):
    ucf = read_ucf_crime(written(tmp_path, "Abuse001 Abuse 10 20"), convention=convention)
    xd = read_xd_violence(written(tmp_path, "a__#1_label_G-0-0 10 20"), convention=convention)
    for line in (*ucf, *xd):
        assert [(i.start_frame, i.stop_frame) for i in line.intervals] == [frames]


def test_one_frame_exists_in_closed_intervals_only(tmp_path):
    path = written(tmp_path, "Abuse001 Abuse 7 7")
    assert read_ucf_crime(path, convention="closed")[0].intervals[0].stop_frame == 8
    with pytest.raises(VadprobeError, match="choose another convention"):
        read_ucf_crime(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Abuse001_x264.mp4", "wanted a name, a class and one or more pairs"),
        ("Abuse001_x264.mp4 Abuse", "wanted a name, a class and one or more pairs"),
        ("Abuse001_x264.mp4 Abuse 10", "wanted a name, a class and one or more pairs"),
        ("Abuse001_x264.mp4 Abuse 10 20 30", "wanted a name, a class and one or more pairs"),
        ("Abuse001_x264.mp4 Abuse 10 2o", "whole frame numbers"),
        ("Abuse001_x264.mp4 Abuse 10.5 20", "whole frame numbers"),
        ("Abuse001_x264.mp4 Abuse -2 20", "whole frame numbers"),
        ("Abuse001_x264.mp4 Abuse 20 10", "with s before e"),
        ("Abuse001_x264.mp4 Abuse -1 20", "with s before e"),
        ("Abuse001_x264.mp4 Abuse 20 -1", "with s before e"),
        ("Abuse001_x264.mp4 Abuse -1 -1", "an interval for an anomalous class"),
        ("MSAD_normal_1.mp4 MSAD -1 -1", "set normal_category"),
        ("Normal_Videos_003_x264.mp4 Normal 1 9", "-1 -1 for a normal video"),
        ("Abuse028_x264 Abuse 1 9", "one line per video .'Abuse028_x264' is on line 1."),
    ],
)
def test_malformed_ucf_lines_are_refused_with_file_and_line(tmp_path, line, words):
    path = written(tmp_path, UCF_LINES[0] + "\n\n" + line + "\n")
    with pytest.raises(VadprobeError, match=words) as caught:
        read_ucf_crime(path)
    assert str(caught.value).startswith(f"{path}, line 3: got {line!r}, wanted ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("b__#1_label_G-0-0", "one or more pairs"),
        ("b__#1_label_G-0-0 5", "one or more pairs"),
        ("b__#1_label_G-0-0 5 9 11", "one or more pairs"),
        ("b__#1_label_G-0-0 5 x", "whole frame numbers"),
        ("b__#1_label_G-0-0 9 5", "with s before e"),
        ("b__#1_label_G-0-0 -1 -1", "at least one interval"),
        ("b__#1_label_A 5 9", "codes of anomalies"),
        ("b__#1 5 9", "codes of anomalies"),
        ("a__#1_label_G-0-0.mp4 5 9", "one line per video .'a__#1_label_G-0-0' is on line 1."),
    ],
)
def test_malformed_xd_lines_are_refused_with_file_and_line(tmp_path, line, words):
    path = written(tmp_path, "a__#1_label_G-0-0 1 2\r\n" + line)
    with pytest.raises(VadprobeError, match=words) as caught:
        read_xd_violence(path)
    assert str(caught.value).startswith(f"{path}, line 2: got {line!r}, wanted ")


@pytest.mark.parametrize("reader", [read_ucf_crime, read_xd_violence])
def test_files_that_are_none(tmp_path, reader):
    with pytest.raises(VadprobeError, match="there is no annotation file"):
        reader(tmp_path / "absent.txt")
    with pytest.raises(VadprobeError, match="there is no annotation file"):
        reader(tmp_path)
    with pytest.raises(VadprobeError, match="has no line"):
        reader(written(tmp_path, "\n  \r\n"))
    with pytest.raises(VadprobeError, match="not UTF-8"):
        reader(written(tmp_path, b"\xff\xfeA\x00b\x00"))


@pytest.mark.parametrize(
    "name",
    [
        "Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6",
        "v=-kwNh1lMU-w__#1_label_B4-0-0",
        "v=_YobflFU_HU__#00-06-10_00-07-51_label_B6-0-0",
        "a@b__#1_label_A",
        "Mr.mp4.Smith",
        "no_dot",
        "ends.with.dot.",
        "name.mp5",
    ],
)
def test_only_a_known_extension_is_removed_from_a_name(name):
    assert video_name(name) == name
    for suffix in VIDEO_SUFFIXES:
        assert video_name(name + suffix) == video_name(name + suffix.upper()) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6", (1, "G-B2-B6")),
        ("v=u5SF4SlqNDQ__#00-00-00_00-01-00_label_G-0-0", (1, "G")),
        ("x_label_B2-G-0", (1, "B2-G")),
        ("x_label_B1", (1, "B1")),
        ("x_label_G", (1, "G")),
        ("x_label_A", (0, "A")),
        ("The_label_A__#1_label_B4-0-0", (1, "B4")),
    ],
)
def test_xd_violence_names(name, expected):
    assert xd_violence_name(name) == expected


@pytest.mark.parametrize("name", ["x_label_", "x_label_B3-0-0", "x_label_0-0-0", "x_label_A-B1", "x", "x_label_A.mp4"])
def test_names_that_are_not_of_xd_violence(name):
    with pytest.raises(VadprobeError, match="not an XD-Violence video name"):
        xd_violence_name(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Normal_Videos001_x264", (0, "Normal")),
        ("Normal_Videos_003_x264", (0, "Normal")),
        ("Normal_Videos_003", (0, "Normal")),
        ("Abuse001_x264", (1, "Abuse")),
        ("RoadAccidents022_x264", (1, "RoadAccidents")),
    ],
)
def test_ucf_crime_names(name, expected):
    assert ucf_crime_name(name) == expected


@pytest.mark.parametrize("name", ["Training_Normal_Videos_Anomaly", "Normal001_x264", "Abuse_Videos001", "Dance01", ""])
def test_names_that_are_not_of_ucf_crime(name):
    with pytest.raises(VadprobeError, match="not a UCF-Crime video name"):
        ucf_crime_name(name)


def line_of(name, *frames, category="Abuse"):
    intervals = tuple(Interval(name, *pair, category) for pair in frames)
    return Annotation(name, int(bool(frames)), category, intervals)


@settings(deadline=None)
@given(st.permutations(range(5)), st.permutations(range(5)))
def test_joining_is_by_name_whatever_the_orders(video_order, line_order):
    videos = [Video(f"v{i}", "", n_frames=100) for i in video_order]
    lines = [line_of(f"v{i}", *([(i, i + 10)] if i else [])) for i in line_order]
    dataset = annotate(made(*videos), lines)
    assert [video.video_id for video in dataset.videos] == [video.video_id for video in videos]
    for i in range(5):
        assert dataset.by_id[f"v{i}"].label == int(i > 0)
        assert [(x.start_frame, x.stop_frame) for x in dataset.intervals_of(f"v{i}")] == ([(i, i + 10)] if i else [])


def test_videos_without_a_line_keep_what_they_have_and_others_are_replaced():
    old = Interval("old", 1, 2, "Arson")
    dataset = made(
        Video("old", "", label=1, category="Arson"),
        Video("unknown", ""),
        Video("wrong", "", label=0),
        intervals=[old, Interval("wrong", 5, 6)],
    )
    joined = annotate(dataset, [line_of("wrong", (7, 9))])
    assert joined.by_id["old"] == dataset.by_id["old"]
    assert joined.by_id["unknown"].label is None
    assert (joined.by_id["wrong"].label, joined.by_id["wrong"].category) == (1, "Abuse")
    assert joined.intervals == (old, Interval("wrong", 7, 9, "Abuse"))
    assert joined.truth_digest != dataset.truth_digest


def test_absent_videos_are_named_and_change_nothing():
    dataset = made(Video("here", "", n_frames=50))
    lines = [line_of("gone", (1, 2)), line_of("here", (3, 4)), line_of("far", category="Normal")]
    assert absent(dataset, lines) == ("gone", "far")
    assert annotate(dataset, lines) == annotate(dataset, lines[1:2])


def test_an_annotation_of_other_names_is_refused():
    with pytest.raises(VadprobeError, match=r"none of the 1 annotated names.*'gone'.*\['here'\]"):
        annotate(made(Video("here", "")), [line_of("gone", (1, 2))])
    assert annotate(made(Video("here", "")), []) == made(Video("here", ""))


def test_intervals_are_cut_at_a_known_end_only():
    lines = [line_of("v", (5, 12))]
    assert annotate(made(Video("v", "", n_frames=10)), lines).intervals[0].stop_frame == 10
    assert annotate(made(Video("v", "")), lines).intervals[0].stop_frame == 12
    assert annotate(made(Video("v", "", n_frames=12)), lines).intervals[0].stop_frame == 12


def test_an_interval_behind_the_end_is_another_cut_of_the_video():
    with pytest.raises(VadprobeError, match=r"'v' has 5 frames.*\[5, 12\)"):
        annotate(made(Video("v", "", n_frames=5)), [line_of("v", (5, 12))])


def test_label_by_name_refuses_foreign_videos():
    with pytest.raises(VadprobeError, match="'holiday'"):
        label_by_name(made(Video("x_label_A", ""), Video("holiday", "")), xd_violence_name)
