"""Hypothesis strategies for videos, clip tables, specifications, exact arrays and annotation files."""

import string

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.profiles import laws
from vadprobe.store.datasets.video import SPLITS, Interval, Video
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec

MODERATE = laws(60, short=20)
"""Settings for laws whose single example is cheap."""

NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
"""Any text that can be written as UTF-8."""

_FILES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\~."), min_size=1, max_size=6)
PATHS = st.lists(_FILES, min_size=1, max_size=3).map("/".join)
"""Relative paths below a folder."""

KEYS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,6}", fullmatch=True)
"""Names of folders."""

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
SMALL = st.integers(1, 5)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def samplings(draw: st.DrawFn) -> Sampling:
    """Draw segments of 1 to 30 frames, or whole videos."""
    frames_per_clip = draw(st.integers(1, 9))
    if draw(st.booleans()):
        return Sampling("video", None, frames_per_clip)
    return Sampling("segment", frames_per_clip + draw(st.integers(0, 21)), frames_per_clip)


def videos(max_frames: int = 200, names: st.SearchStrategy[str] = NAMES) -> st.SearchStrategy[Video]:
    """Return a strategy of probed videos with any truth, some without a frame."""
    n_frames, fps = st.integers(0, max_frames), st.floats(0.1, 240)
    split, label = st.sampled_from(SPLITS), st.sampled_from((None, 0, 1))
    return st.builds(Video, names, PATHS, n_frames, fps, split, label, st.none() | NAMES)


def video_lists(max_size: int = 5) -> st.SearchStrategy[list[Video]]:
    """Return a strategy of lists of videos with different names."""
    return st.lists(videos(), max_size=max_size, unique_by=lambda video: video.video_id)


@st.composite
def intervals(draw: st.DrawFn, names: st.SearchStrategy[str], max_frames: int = 250) -> Interval:
    """Draw half-open intervals, some beyond the end of the video."""
    start = draw(st.integers(0, max_frames))
    return Interval(draw(names), start, start + draw(st.integers(1, 60)), draw(NAMES))


@st.composite
def clip_tables(draw: st.DrawFn) -> ClipTable:
    """Draw tables of a few videos, empty ones included."""
    found = draw(video_lists())
    return ClipTable.build(found, [draw(DIGESTS) for _ in found], draw(samplings()))


def feature_specs() -> st.SearchStrategy[FeatureSpec]:
    """Return a strategy of specifications of any content that a job could make."""
    dtypes = st.sampled_from(("bfloat16", "float16", "float32"))
    return st.builds(
        FeatureSpec,
        KEYS,
        DIGESTS,
        st.integers(1, 1000),
        samplings(),
        st.builds(BackboneSpec, KEYS, NAMES, NAMES, NAMES, dtypes, NAMES, SMALL, SMALL, SMALL, SMALL),
        st.builds(Prompt, KEYS, NAMES.filter(str.strip)),
        recipe=st.dictionaries(NAMES, JSON_VALUES, max_size=3),
        versions=st.dictionaries(KEYS, KEYS, max_size=3),
    )


def bfloat16_arrays(shape: tuple[int, ...], finite: bool = True) -> st.SearchStrategy[np.ndarray]:
    """Return a strategy of float32 arrays of bfloat16 values, by bit pattern: subnormals and both zeros included."""
    patterns = st.integers(0, 0xFFFF)
    if finite:
        patterns = patterns.filter(lambda bits: bits & 0x7F80 != 0x7F80)
    return arrays(np.uint32, shape, elements=patterns).map(lambda bits: (bits << 16).view(np.float32))


UCF_LINE = "Abuse028_x264.mp4  Abuse  165  240  -1  -1  "
XD_LINE = "v=u5SF4SlqNDQ__#00-00-00_00-01-00_label_G-0-0.mp4 624 912 950 1441"
LIST_LINE, COUNT_LINE = "Assault/Assault_2.mp4 0 235 1", "Abuse028_x264,1412"


def many_files(count: int) -> settings:
    """Return the settings of one test; in the long profile all tests together try at least 10,000 files."""
    return laws(count, short=count // 10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


NUMBERS = ["-1", "0", "1", "5", "-7", "1e3", "1_000", "٣", "²", "NaN", "inf", "9" * 14, "9" * 5000, "0x10", "1.0"]
MARKS = ["", " ", "\t", "\r", "\x00", "\x0b", "\x1c", "\x85", "\u2028", "\ufeff", '"', "'", ",", ";", "-", "/", ".."]
WORDS = ["Normal", "MSAD", "Abuse", "label_A", "_label_B2-G-0", ".mp4", "train", "true", "null", "[[", "]]", "{", "}"]
TOKENS = st.sampled_from(NUMBERS + MARKS + WORDS)


@st.composite
def mangled(draw: st.DrawFn, line: str) -> str:
    """Draw a valid line with tokens dropped, repeated, swapped, replaced or inserted, or characters changed."""
    tokens = line.split(" ")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(tokens) - 1))
        change = draw(st.sampled_from(["drop", "repeat", "replace", "insert", "characters"]))
        if change == "drop" and len(tokens) > 1:
            del tokens[place]
        elif change == "repeat":
            tokens.insert(place, tokens[place])
        elif change == "replace":
            tokens[place] = draw(TOKENS)
        elif change == "insert":
            tokens.insert(place, draw(TOKENS))
        else:
            at = draw(st.integers(0, len(tokens[place])))
            tokens[place] = tokens[place][:at] + draw(TOKENS | st.text(max_size=2)) + tokens[place][at + 1 :]
    return " ".join(tokens)


def files_of(line: str, *names: str) -> st.SearchStrategy[bytes]:
    """Return a strategy of whole files: mangled and plain lines with any line end, or any text, or any bytes."""
    header = list(names)
    lines = st.lists(mangled(line) | st.text(string.printable, max_size=20), max_size=6)
    ends = st.sampled_from(["\n", "\r\n", "\n\n", "\r", "\n \n"])
    made = st.tuples(lines, ends).map(lambda parts: parts[1].join(header + parts[0]))
    return (
        made.map(lambda text: text.encode("utf-8", "replace"))
        | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
        | st.binary(max_size=60)
    )
