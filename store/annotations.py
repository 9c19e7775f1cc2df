"""Text annotations of UCF-Crime and XD-Violence, joined to a dataset by video name.

Frames are counted from 0 and intervals are half-open. The files do not say what their ``s e`` means, so that is an
argument (:data:`Convention`). Its default ``[s, e)`` from 0 reproduces all 800 published XD-Violence arrays and is what
peers use on UCF-Crime; the others move the AUC by 0.02 at most.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

from vadprobe.store.datasets import VIDEO_SUFFIXES, Dataset
from vadprobe.store.errors import VadprobeError
from vadprobe.store.records import Interval, Video

Convention = Literal["half-open", "closed", "closed-from-1"]
"""What ``s e`` in a file means: ``[s, e)`` from 0, ``[s, e]`` from 0, or ``[s, e]`` from 1."""

NameRule = Callable[[str], tuple[int, str]]
"""From a video name to its label (1 anomalous, 0 normal) and category."""

_SHIFTS: dict[Convention, tuple[int, int]] = {"half-open": (0, 0), "closed": (0, 1), "closed-from-1": (-1, 0)}
_UCF_NAME = re.compile(
    r"((?P<normal>Normal)_Videos_?|(?P<anomaly>Abuse|Arrest|Arson|Assault|Burglary|Explosion|Fighting|RoadAccidents|"
    r"Robbery|Shooting|Shoplifting|Stealing|Vandalism))[0-9]+(_x264)?"
)
_XD_NAME = re.compile(r".*_label_(?P<codes>A|(B[12456]|G)(-(B[12456]|G|0))*)")


@dataclass(frozen=True)
class Annotation:
    """What one line says about one video. ``category`` is the source's own word; normal videos have no interval."""

    video_id: str
    label: int
    category: str
    intervals: tuple[Interval, ...] = ()


def video_name(name: str) -> str:
    """A video's name without a known video extension (any case); any other dot belongs to the name."""
    stem, _, suffix = name.rpartition(".")
    return stem if f".{suffix.lower()}" in VIDEO_SUFFIXES else name


def read_ucf_crime(
    path: Path, *, convention: Convention = "half-open", normal_category: str = "Normal"
) -> tuple[Annotation, ...]:
    """Read UCF-Crime's temporal annotation: ``name class s1 e1 [s2 e2 ...]`` per line.

    Fields are split at any whitespace, so double spaces, CRLF and a missing final newline do not matter; neither does
    ``.mp4`` after the name. A pair ``-1 -1`` means none. Other datasets in this format name their normal class
    differently (MSAD: "MSAD"); pass it as ``normal_category``.

    Args:
        path: the text file, UTF-8.
        convention: what ``s e`` means.
        normal_category: the class of normal videos, label 0; every other class has label 1.

    Returns:
        One record per line, in the file's order; categories as the file writes them.

    Raises:
        VadprobeError: naming file and line, if a line is malformed, an anomalous video has no interval, a normal video
            has one, or a video has two lines.
    """
    lines = []
    for line in _lines(path):
        if len(line.fields) < 4 or len(line.fields) % 2:
            line.refuse("a name, a class and one or more pairs of frame numbers", "complete or remove the line")
        name, category, *numbers = line.fields
        intervals = line.intervals(name, category, numbers, convention)
        label = int(category != normal_category)
        if label != bool(intervals):
            wanted = "an interval for an anomalous class" if label else "-1 -1 for a normal video"
            line.refuse(wanted, f"correct the line, or set normal_category (now {normal_category!r})")
        lines.append((line, Annotation(video_name(name), label, category, intervals)))
    return _one_each(lines)


def read_xd_violence(path: Path, *, convention: Convention = "half-open") -> tuple[Annotation, ...]:
    """Read XD-Violence's ``annotations.txt``: ``name s e [s e ...]`` per line.

    Some names carry ``.mp4`` and some do not. The file lists anomalous videos only: normal test videos get their label
    from their names, ``label_by_name(dataset, xd_violence_name)``. ``annotations_multiclasses.txt`` is another format
    with other intervals and is refused.

    Args:
        path: the text file, UTF-8.
        convention: what ``s e`` means.

    Returns:
        One record per line, in the file's order, all with label 1 and the category codes of the name.

    Raises:
        VadprobeError: naming file and line, if a line is malformed, its name is not an anomalous XD-Violence name, or a
            video has two lines.
    """
    lines = []
    for line in _lines(path):
        if len(line.fields) < 3 or not len(line.fields) % 2:
            line.refuse("a name and one or more pairs of frame numbers", "complete or remove the line")
        name, *numbers = line.fields
        codes = _xd_codes(video_name(name))
        if codes in (None, ["A"]):
            line.refuse("a name that ends in '_label_' and codes of anomalies", "correct the name")
        category = "-".join(codes or ())
        intervals = line.intervals(name, category, numbers, convention)
        if not intervals:
            line.refuse("at least one interval", "remove the line if the video is normal")
        lines.append((line, Annotation(video_name(name), 1, category, intervals)))
    return _one_each(lines)


def ucf_crime_name(video_id: str) -> tuple[int, str]:
    """Label and category of a UCF-Crime video from its name, for training videos, which no annotation file lists.

    ``Normal_Videos001_x264`` (train) and ``Normal_Videos_003_x264`` (test) are normal, ``Abuse001_x264`` is not.
    Folder names are not used: three different ones mean "normal".

    Raises:
        VadprobeError: if the name is not one of UCF-Crime's.
    """
    match = _UCF_NAME.fullmatch(video_id)
    if match:
        return int(match["normal"] is None), match["normal"] or match["anomaly"]
    raise VadprobeError(
        f"{video_id!r} is not a UCF-Crime video name; 'Normal_Videos_003_x264' or a class with a number, such as "
        "'Abuse028_x264', is wanted. Label other videos in a manifest."
    )


def xd_violence_name(video_id: str) -> tuple[int, str]:
    """Label and category codes of an XD-Violence video from its name, ``..._label_<codes>``.

    ``A`` is normal; B1 fighting, B2 shooting, B4 riot, B5 abuse, B6 car accident and G explosion are not. Up to three
    are joined by ``-``; the padding ``0`` is left out ("B2-G-0" gives "B2-G").

    Raises:
        VadprobeError: if the name has no such ending.
    """
    codes = _xd_codes(video_id)
    if codes is None:
        raise VadprobeError(
            f"{video_id!r} is not an XD-Violence video name; it must end in '_label_A' or codes of B1, B2, B4, B5, B6, "
            "G, such as '_label_B2-G-0'. Label other videos in a manifest."
        )
    return int(codes != ["A"]), "-".join(codes)


def _xd_codes(video_id: str) -> list[str] | None:
    match = _XD_NAME.fullmatch(video_id)
    return [code for code in match["codes"].split("-") if code != "0"] if match else None


def label_by_name(dataset: Dataset, rule: NameRule) -> Dataset:
    """The dataset with every video's label and category from its name; intervals stay.

    Raises:
        VadprobeError: if the rule does not know a name.
    """
    named = ((video, rule(video.video_id)) for video in dataset.videos)
    videos = tuple(replace(video, label=label, category=category) for video, (label, category) in named)
    return replace(dataset, videos=videos)


def annotate(dataset: Dataset, lines: Sequence[Annotation]) -> Dataset:
    """Join annotations to a dataset by video name, never by order.

    A video with a line gets the line's label, category and intervals in place of its own; a video without one keeps
    what it has. Intervals are cut at the end of the video when its frame count is known. Lines whose video is absent
    change nothing, since partial copies of a dataset are usual: :func:`absent` names them, for the caller to count.

    Raises:
        VadprobeError: if no line at all has a video (names of another form), or an interval begins after its video's
            end (an annotation of another cut).
    """
    found = {line.video_id: line for line in lines if line.video_id in dataset.by_id}
    if lines and not found:
        raise VadprobeError(
            f"none of the {len(lines)} annotated names is among the {len(dataset.videos)} videos of dataset "
            f"{dataset.name!r}: the annotation has {lines[0].video_id!r}, the dataset has "
            f"{[video.video_id for video in dataset.videos[:1]]}. Check that both are of the same dataset."
        )
    videos = tuple(
        replace(video, label=line.label, category=line.category) if (line := found.get(video.video_id)) else video
        for video in dataset.videos
    )
    kept = tuple(interval for interval in dataset.intervals if interval.video_id not in found)
    joined = tuple(_cut(interval, dataset.by_id[name]) for name, line in found.items() for interval in line.intervals)
    return replace(dataset, videos=videos, intervals=kept + joined)


def absent(dataset: Dataset, lines: Sequence[Annotation]) -> tuple[str, ...]:
    """Names of annotated videos the dataset does not hold, in the order of the lines."""
    return tuple(line.video_id for line in lines if line.video_id not in dataset.by_id)


def _cut(interval: Interval, video: Video) -> Interval:
    if video.n_frames is None or interval.stop_frame <= video.n_frames:
        return interval
    if interval.start_frame >= video.n_frames:
        raise VadprobeError(
            f"video {video.video_id!r} has {video.n_frames} frames, but an annotated interval is "
            f"[{interval.start_frame}, {interval.stop_frame}): the file is another cut of the video, or cut off. "
            "Replace the file or correct the annotation."
        )
    return replace(interval, stop_frame=video.n_frames)


@dataclass(frozen=True)
class _Line:
    path: Path
    number: int
    fields: tuple[str, ...]

    def refuse(self, wanted: str, remedy: str) -> NoReturn:
        got = " ".join(self.fields)
        raise VadprobeError(f"{self.path}, line {self.number}: got {got!r}, wanted {wanted}; {remedy}.")

    def intervals(
        self, name: str, category: str, numbers: Sequence[str], convention: Convention
    ) -> tuple[Interval, ...]:
        """Pairs of frame numbers as half-open intervals from 0, without the pairs ``-1 -1``."""
        if not all(re.fullmatch(r"-1|[0-9]+", number) for number in numbers):
            self.refuse("whole frame numbers (or -1 -1 for none)", "correct the line")
        values = [int(number) for number in numbers]
        pairs = [pair for pair in zip(values[::2], values[1::2], strict=True) if pair != (-1, -1)]
        before, after = _SHIFTS[convention]
        frames = [(start + before, stop + after) for start, stop in pairs]
        if any(not 0 <= start < stop for start, stop in frames):
            self.refuse(f"'s e' with s before e ({convention})", "correct the line or choose another convention")
        return tuple(Interval(video_name(name), start, stop, category) for start, stop in frames)


def _lines(path: Path) -> list[_Line]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise VadprobeError(f"there is no annotation file {path}; check 'annotations' in [dataset].") from error
    except UnicodeDecodeError as error:
        raise VadprobeError(f"the annotation file {path} is not UTF-8 text ({error}); save it as UTF-8.") from error
    rows = ((number, tuple(row.split())) for number, row in enumerate(text.split("\n"), start=1))
    lines = [_Line(path, number, fields) for number, fields in rows if fields]
    if not lines:
        raise VadprobeError(f"the annotation file {path} has no line; is it the right file?")
    return lines


def _one_each(lines: Sequence[tuple[_Line, Annotation]]) -> tuple[Annotation, ...]:
    first: dict[str, int] = {}
    for line, annotation in lines:
        earlier = first.setdefault(annotation.video_id, line.number)
        if earlier != line.number:
            line.refuse(f"one line per video ({annotation.video_id!r} is on line {earlier})", "join the lines")
    return tuple(annotation for _, annotation in lines)
