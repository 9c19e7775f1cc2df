"""The text annotations on the real files and on every disguise they come in; names; split lists."""

import json

import pytest

from tests.support.oracles.reference_evaluation import NO_SHARED, SHARED
from vadprobe.store.datasets.annotations.names import (
    VIDEO_SUFFIXES,
    msad_name,
    ucf_crime_name,
    video_name,
    xd_violence_name,
)
from vadprobe.store.datasets.annotations.rows.rows import Annotation
from vadprobe.store.datasets.annotations.split_lists import Listed, read_split_list
from vadprobe.store.datasets.annotations.text_files import read_ucf_crime, read_xd_violence
from vadprobe.store.datasets.video import Interval
from vadprobe.store.errors import VadprobeError

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


def expected():
    return json.loads((SHARED / "expected.json").read_text())


@needs_shared
def test_ucf_crime_as_published():
    facts = expected()["ucf_crime"]
    lines = read_ucf_crime(UCF / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt").checked()
    assert len(lines) == facts["test_videos"] == 290
    assert sum(line.label == 0 for line in lines) == facts["test_normal"] == 150
    assert sum(line.label == 1 for line in lines) == facts["test_abnormal"] == 140
    assert sum(len(line.intervals) == 2 for line in lines) == facts["two_interval_videos"] == 16
    assert max(len(line.intervals) for line in lines) == 2
    assert len({line.category for line in lines}) == 14


@needs_shared
def test_xd_violence_as_published():
    facts = expected()["xd_violence"]
    lines = read_xd_violence(XD / "annotations.txt").checked()
    assert len(lines) == facts["annotation_lines"] == 500
    assert max(len(line.intervals) for line in lines) == facts["max_intervals"] == 22
    text = (XD / "annotations.txt").read_text()
    assert sum(row.split()[0].endswith(".mp4") for row in text.splitlines()) == facts["lines_with_mp4_suffix"] == 14
    assert not any(line.video_id.endswith(".mp4") for line in lines)


@needs_shared
def test_msad_as_published():
    lines = read_ucf_crime(SHARED / "msad" / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt").checked()
    assert len(lines) == 240
    assert sum(line.label for line in lines) == 120
    assert {line.category for line in lines if line.label == 0} == {"Normal"}
    assert all(msad_name(line.video_id)[0] == line.label for line in lines)


@needs_shared
def test_the_split_lists_as_published():
    facts = expected()
    assert len(read_split_list(UCF / "Anomaly_Train.txt").checked()) == facts["ucf_crime"]["train_videos"]
    assert len(read_split_list(UCF / "Anomaly_Test.txt").checked()) == facts["ucf_crime"]["test_videos"]
    assert len(read_split_list(XD / "train_videos.txt").checked()) == facts["xd_violence"]["train_videos"]
    assert len(read_split_list(XD / "test_videos.txt").checked()) == facts["xd_violence"]["test_videos"]
    msad = read_split_list(SHARED / "msad" / "anomaly_test.txt").checked()
    assert msad[0] == Listed("Assault_2", "", 1, 236)
    assert sum(item.n_frames for item in msad) == facts["vadtree_msad_ensemble"]["frames"]


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
    for line in read_ucf_crime(UCF / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt").checked():
        assert ucf_crime_name(line.video_id) == (line.label, line.category)


@needs_shared
def test_the_multiclass_file_of_xd_violence_is_refused_as_another_format():
    with pytest.raises(VadprobeError, match=r"annotations_multiclasses.txt, line 1: got 'v=S-7rRLrxnVQ"):
        read_xd_violence(XD / "annotations_multiclasses.txt").checked()


def test_a_line_in_full(tmp_path):
    first, second, normal = read_ucf_crime(written(tmp_path, "\n".join(UCF_LINES))).checked()
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
    ("convention", "frames"),
    [("zero-based-half-open", (10, 20)), ("zero-based-closed", (10, 21)), ("one-based-closed", (9, 20))],
)
def test_conventions(tmp_path, convention, frames):
    ucf = read_ucf_crime(written(tmp_path, "Abuse001 Abuse 10 20"), convention=convention)
    xd = read_xd_violence(written(tmp_path, "a__#1_label_G-0-0 10 20"), convention=convention)
    for line in (*ucf.checked(), *xd.checked()):
        assert [(i.start_frame, i.stop_frame) for i in line.intervals] == [frames]


def test_one_frame_exists_in_closed_intervals_only(tmp_path):
    path = written(tmp_path, "Abuse001 Abuse 7 7")
    assert read_ucf_crime(path, convention="zero-based-closed").checked()[0].intervals[0].stop_frame == 8
    with pytest.raises(VadprobeError, match="choose another convention"):
        read_ucf_crime(path).checked()


UCF_FAULTS = [
    ("Abuse001_x264.mp4", "expected a name, a class and one or more pairs"),
    ("Abuse001_x264.mp4 Abuse", "expected a name, a class and one or more pairs"),
    ("Abuse001_x264.mp4 Abuse 10", "expected a name, a class and one or more pairs"),
    ("Abuse001_x264.mp4 Abuse 10 20 30", "expected a name, a class and one or more pairs"),
    ("Abuse001_x264.mp4 Abuse 10 2o", "whole frame numbers"),
    ("Abuse001_x264.mp4 Abuse 10.5 20", "whole frame numbers"),
    ("Abuse001_x264.mp4 Abuse -2 20", "whole frame numbers"),
    ("Abuse001_x264.mp4 Abuse 20 10", "with s before e"),
    ("Abuse001_x264.mp4 Abuse -1 20", "with s before e"),
    ("Abuse001_x264.mp4 Abuse 20 -1", "with s before e"),
    ("Abuse001_x264.mp4 Abuse -1 -1", "an interval for an anomalous class"),
    ("MSAD_normal_1.mp4 MSAD 3 9", "-1 -1 for a normal video"),
    ("Abuse001_x264.mp4 Abuse 1 99999999999999", "whole frame numbers"),
    ("Abuse001_x264.mp4 Abuse ٣ ٩", "whole frame numbers"),
    ("Normal_Videos_003_x264.mp4 Normal 1 9", "-1 -1 for a normal video"),
    ("Abuse028_x264 Abuse 1 9", "one row per video .'Abuse028_x264' is on line 1."),
]
XD_LINE = "a__#1_label_G-0-0 1 2\r"
XD_FAULTS = [
    ("b__#1_label_G-0-0", "one or more pairs"),
    ("b__#1_label_G-0-0 5", "one or more pairs"),
    ("b__#1_label_G-0-0 5 9 11", "one or more pairs"),
    ("b__#1_label_G-0-0 5 x", "whole frame numbers"),
    ("b__#1_label_G-0-0 9 5", "with s before e"),
    ("b__#1_label_G-0-0 -1 -1", "at least one interval"),
    ("b__#1_label_A 5 9", "codes of anomalies"),
    ("b__#1 5 9", "codes of anomalies"),
    ("a__#1_label_G-0-0.mp4 5 9", "one row per video .'a__#1_label_G-0-0' is on line 1."),
]


@pytest.mark.parametrize(
    ("reader", "first", "line", "words"),
    [(read_ucf_crime, UCF_LINES[0], *fault) for fault in UCF_FAULTS]
    + [(read_xd_violence, XD_LINE, *fault) for fault in XD_FAULTS],
)
def test_malformed_lines_are_refused_with_file_and_line(tmp_path, reader, first, line, words):
    path = written(tmp_path, f"{first}\n\n{line}\n")
    reading = reader(path)
    assert (reading.n_rows, len(reading.entries), len(reading.rejected)) == (2, 1, 1)
    with pytest.raises(VadprobeError, match=words) as caught:
        reading.checked()
    assert str(caught.value).startswith(f"{path}, line 3: got {line!r}, expected ")


@pytest.mark.parametrize("reader", [read_ucf_crime, read_xd_violence])
def test_files_that_are_none(tmp_path, reader):
    with pytest.raises(VadprobeError, match="there is no annotation file"):
        reader(tmp_path / "absent.txt")
    with pytest.raises(VadprobeError, match="is a folder"):
        reader(tmp_path)
    with pytest.raises(VadprobeError, match="has no row"):
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
    ("rule", "name", "expected"),
    [
        (xd_violence_name, "Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6", (1, "G-B2-B6")),
        (xd_violence_name, "v=u5SF4SlqNDQ__#00-00-00_00-01-00_label_G-0-0", (1, "G")),
        (xd_violence_name, "x_label_B2-G-0", (1, "B2-G")),
        (xd_violence_name, "x_label_B1", (1, "B1")),
        (xd_violence_name, "x_label_G", (1, "G")),
        (xd_violence_name, "x_label_A", (0, "A")),
        (xd_violence_name, "The_label_A__#1_label_B4-0-0", (1, "B4")),
        (ucf_crime_name, "Normal_Videos001_x264", (0, "Normal")),
        (ucf_crime_name, "Normal_Videos_003_x264", (0, "Normal")),
        (ucf_crime_name, "Normal_Videos_003", (0, "Normal")),
        (ucf_crime_name, "Abuse001_x264", (1, "Abuse")),
        (ucf_crime_name, "RoadAccidents022_x264", (1, "RoadAccidents")),
        (msad_name, "Assault_2", (1, "Assault")),
        (msad_name, "MSAD_normal_testing_118", (0, "Normal")),
    ],
)
def test_names_tell_label_and_category(rule, name, expected):
    assert rule(name) == expected


@pytest.mark.parametrize(
    ("rule", "name"),
    [(xd_violence_name, f"x{end}") for end in ("_label_", "_label_B3-0-0", "_label_0-0-0", "_label_A-B1", "")]
    + [(xd_violence_name, "x_label_A.mp4"), (msad_name, "MSAD_2")]
    + [(ucf_crime_name, name) for name in ("Training_Normal_Videos_Anomaly", "Normal001_x264", "Abuse_Videos001", "")]
    + [(ucf_crime_name, "Dance01")],
)
def test_names_of_other_sets_are_refused(rule, name):
    with pytest.raises(VadprobeError, match="video name"):
        rule(name)


def test_folders_are_no_part_of_a_name():
    assert video_name("Abuse/Abuse028_x264.mp4") == "Abuse028_x264"
    assert video_name("C:\\videos\\Abuse028_x264.MP4") == "Abuse028_x264"
    assert video_name(".mp4") == ".mp4"


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        ("Abuse/Abuse001_x264.mp4", Listed("Abuse001_x264", "Abuse")),
        ("Abuse001_x264", Listed("Abuse001_x264")),
        ("Assault_2 0 235 1", Listed("Assault_2", "", 1, 236)),
        ("v=-kwNh1lMU-w__#1_label_B4-0-0.mp4", Listed("v=-kwNh1lMU-w__#1_label_B4-0-0")),
    ],
)
def test_lines_of_split_lists(tmp_path, line, listed):
    assert read_split_list(written(tmp_path, line + "\r\n")).checked() == (listed,)


@pytest.mark.parametrize(
    "line", ["a b", "Assault_2 1 235 1", "Assault_2 0 235 2", "Assault_2 0 x 1", "a 0 5", "Abuse/"]
)
def test_malformed_lines_of_split_lists_are_rejected(tmp_path, line):
    reading = read_split_list(written(tmp_path, "first\n" + line))
    assert [item.video_id for item in reading.entries] == ["first"]
    assert f"line 2: got {line!r}" in reading.rejected[0].sentence


def test_a_pointer_in_the_place_of_an_annotation_is_named(tmp_path):
    pointer = written(tmp_path, f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n")
    with pytest.raises(VadprobeError, match=r"annotation\.txt is a Git LFS pointer: the file itself \(12\.3 kB\)"):
        read_ucf_crime(pointer)
