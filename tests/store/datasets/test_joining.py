"""Joining by name: what each part decides, and what becomes a finding."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from tests.support.strategies import many_files
from vadprobe.store.datasets.annotations.names import ucf_crime_name, xd_violence_name
from vadprobe.store.datasets.annotations.rows.rows import Annotation
from vadprobe.store.datasets.annotations.split_lists import Listed
from vadprobe.store.datasets.joining import Parts, join
from vadprobe.store.datasets.video import Interval


def line(name: str, *frames: tuple[int, int], **more: object) -> Annotation:
    intervals = tuple(Interval(name, *pair, "Abuse") for pair in frames)
    return Annotation(name, int(bool(frames)), "Abuse" if frames else "Normal", intervals, **more)  # type: ignore[arg-type]


def kinds(parts: Parts) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.videos for finding in join(parts).findings}


@laws(60)
@given(st.permutations(range(5)), st.permutations(range(5)), st.permutations(range(5)))
def test_no_order_matters(lines: list[int], listed: list[int], counted: list[int]) -> None:
    parts = Parts(
        "d",
        Path(),
        tuple(line(f"v{i}", *([(i, i + 10)] if i else [])) for i in lines),
        {"test": tuple(Listed(f"v{i}") for i in listed)},
        {"counts": {f"v{i}": (100 + i, None) for i in counted}},
    )
    dataset = join(parts).dataset
    for i in range(5):
        video = dataset.by_id[f"v{i}"]
        assert (video.label, video.n_frames, video.split) == (int(i > 0), 100 + i, "test")
        assert [(x.start_frame, x.stop_frame) for x in dataset.intervals_of(f"v{i}")] == ([(i, i + 10)] if i else [])
    assert join(parts).findings == ()


def test_the_first_source_of_counts_decides_and_the_others_are_compared() -> None:
    counts = {"files": {"a": (100, 25.0)}, "table": {"a": (96, None), "b": (32, None)}}
    joined = join(Parts("d", Path(), (line("a", (3, 9)), line("b")), counts=counts))
    assert (joined.dataset.by_id["a"].n_frames, joined.dataset.by_id["a"].fps) == (100, 25.0)
    assert joined.dataset.by_id["b"].n_frames == 32
    finding = next(finding for finding in joined.findings if finding.kind == "lengths differ")
    assert finding.videos == ("a",)
    assert "'floor to 16'" in finding.message


def test_intervals_at_and_after_the_end() -> None:
    parts = Parts(
        "d", Path(), (line("a", (5, 12)), line("b", (12, 15))), counts={"c": {"a": (10, None), "b": (10, None)}}
    )
    joined = join(parts)
    assert [(i.video_id, i.start_frame, i.stop_frame) for i in joined.dataset.intervals] == [("a", 5, 10)]
    flags = {finding.kind: finding.changes_score for finding in joined.findings}
    assert flags == {"interval past the end": False, "interval after the end": True}


def test_labels_that_contradict_are_named() -> None:
    parts = Parts("d", Path(), (line("Abuse001_x264"), line("Normal_Videos_003_x264")), name_rule=ucf_crime_name)
    assert kinds(parts) == {"labels differ": ("Abuse001_x264",)}


def test_a_test_list_decides_which_videos_there_are() -> None:
    counts = {"c": {"Abuse001_x264": (10, None), "holiday": (10, None)}}
    with_list = Parts("d", Path(), (), {"test": (Listed("Abuse002_x264"),)}, counts, name_rule=ucf_crime_name)
    assert [video.video_id for video in join(with_list).dataset.videos] == ["Abuse002_x264"]
    without = Parts("d", Path(), (), {}, counts, name_rule=ucf_crime_name)
    assert [video.video_id for video in join(without).dataset.videos] == ["Abuse001_x264"], "the name is the set's"


def test_an_annotation_of_anomalous_videos_only_says_so() -> None:
    found = kinds(Parts("d", Path(), (line("a", (1, 2)),), is_complete=False))
    assert "no normal test videos" in found


SET_NAMES = ["Abuse001_x264", "Normal_Videos_003_x264", "a__#1_label_A", "a__#1_label_G-B1-0", "own", "."]
FRAMES = st.tuples(st.integers(0, 40), st.integers(1, 40)).map(lambda pair: (pair[0], sum(pair)))


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    """Any parts whose rows have one name each, as the readers give them."""
    annotations = []
    for name in draw(st.lists(st.sampled_from(SET_NAMES), unique=True)):
        intervals = tuple(Interval(name, *pair) for pair in draw(st.lists(FRAMES, max_size=3)))
        label = 1 if intervals else draw(st.sampled_from([None, 0, 1]))
        split = draw(st.sampled_from([None, "train", "validation", "test"]))
        annotations.append(
            Annotation(name, label, None, intervals, split=split, path=draw(st.sampled_from([None, "x"])))
        )
    some = st.lists(st.sampled_from(SET_NAMES), unique=True)
    listed = some.map(lambda names: tuple(Listed(name, label=len(name) % 2) for name in names))
    counted = st.dictionaries(st.sampled_from(SET_NAMES), st.tuples(st.integers(0, 60), st.none() | st.just(25.0)))
    return Parts(
        "d",
        Path(),
        tuple(annotations),
        draw(st.dictionaries(st.sampled_from(["train", "test"]), listed)),
        draw(st.dictionaries(st.sampled_from(["files", "table"]), counted)),
        draw(st.none() | st.dictionaries(st.sampled_from(SET_NAMES), st.just("x.mp4"))),
        draw(st.sampled_from([None, ucf_crime_name, xd_violence_name])),
        draw(st.booleans()),
    )


@many_files(400)
@given(given=parts())
def test_no_part_is_lost_in_joining(given: Parts) -> None:
    """Every named video is there; every interval is kept, or cut or left out by a finding that names its video."""
    joined = join(given)
    named = {annotation.video_id for annotation in given.annotations}
    named |= {item.video_id for items in given.lists.values() for item in items}
    videos = joined.dataset.by_id
    assert named <= set(videos)
    found = {finding.kind: set(finding.videos) for finding in joined.findings}
    assert len(found) == len(joined.findings), "one finding of a kind"
    for annotation in given.annotations:
        name, n_frames = annotation.video_id, videos[annotation.video_id].n_frames
        kept = [(i.start_frame, i.stop_frame) for i in joined.dataset.intervals_of(name)]
        wanted = sorted((i.start_frame, i.stop_frame) for i in annotation.intervals)
        if n_frames is not None:
            if any(start < n_frames < stop for start, stop in wanted):
                assert name in found["interval past the end"]
            if any(start >= n_frames for start, _ in wanted):
                assert name in found["interval after the end"]
            wanted = sorted((start, min(stop, n_frames)) for start, stop in wanted if start < n_frames)
        assert kept == wanted
    if given.files is not None:
        missing = set().union(*(names for kind, names in found.items() if kind.startswith("missing ")))
        assert missing == set(videos) - set(given.files) == set(joined.dataset.missing)
        assert found.get("extra videos", set()) == set(given.files) - set(videos)
