"""The list of probed videos: readable or not, all come back; a damaged or foreign file is refused by name."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from tests.support.strategies import DIGESTS, NAMES
from vadprobe.store.datasets.probed_videos import VideoFacts, read_video_facts, write_video_facts
from vadprobe.store.datasets.video import SPLITS
from vadprobe.store.errors import StoreError

SPLIT = st.sampled_from(SPLITS)
READABLE = st.builds(VideoFacts, NAMES, SPLIT, st.integers(1, 2**62), st.floats(0.1, 1000), DIGESTS, st.none(), NAMES)
UNREADABLE = st.builds(VideoFacts, NAMES, SPLIT, st.none(), st.none(), st.just("") | DIGESTS, NAMES)


@laws(30)
@given(st.lists(READABLE | UNREADABLE, max_size=5))
def test_probed_videos_survive_parquet(tmp_path_factory, videos):
    path = tmp_path_factory.getbasetemp() / "probes" / "videos.parquet"
    write_video_facts(videos, path)
    assert read_video_facts(path) == tuple(videos)
    assert [file.name for file in path.parent.iterdir()] == ["videos.parquet"]


@pytest.fixture
def path(tmp_path):
    """A list of one readable and one unreadable video."""
    path = tmp_path / "videos.parquet"
    bad = VideoFacts("b", "train", None, None, "", "the file is empty (0 bytes)")
    write_video_facts([VideoFacts("a", "test", 20, 25.0, "f" * 64), bad], path)
    return path


@pytest.mark.parametrize("kept", [0, 4, -5])
def test_a_cut_list_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StoreError, match=rf"{path} cannot be read .*delete it and run 'vadprobe plan' again"):
        read_video_facts(path)


@pytest.mark.parametrize("column", ["video_id", "fingerprint", "reason"])
def test_a_list_without_a_column_is_refused(path, column):
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(StoreError, match=rf"{path} cannot be read \(.*{column}"):
        read_video_facts(path)


def test_columns_of_a_later_version_are_ignored(path):
    before = read_video_facts(path)
    pq.write_table(pq.read_table(path).append_column("bitrate", pa.array([1, 2])), path)
    assert read_video_facts(path) == before
    assert before[1].reason == "the file is empty (0 bytes)"


def test_a_list_from_before_readers_were_recorded_is_read(path):
    before = read_video_facts(path)
    pq.write_table(pq.read_table(path).drop_columns(["reader"]), path)
    assert read_video_facts(path) == before
    assert [video.reader for video in before] == [None, None]


def test_an_old_list_is_replaced_as_a_whole_and_none_is_empty(path):
    write_video_facts([], path)
    assert read_video_facts(path) == ()
    path.unlink()
    assert read_video_facts(path) == ()
