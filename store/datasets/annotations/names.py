"""Names of videos: removing extensions, and the labels, categories and sources that names of known sets contain."""

import re
from collections.abc import Callable

from vadprobe.store.errors import VadprobeError

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"})


NameRule = Callable[[str], tuple[int, str]]
"""Function from a video's name to its label (1 anomalous, 0 normal) and category."""

_UCF_NAME = re.compile(
    r"((?P<normal>Normal)_Videos_?|(?P<anomaly>Abuse|Arrest|Arson|Assault|Burglary|Explosion|Fighting|RoadAccidents|"
    r"Robbery|Shooting|Shoplifting|Stealing|Vandalism))[0-9]+(_x264)?"
)
_XD_NAME = re.compile(r"(?P<source>.*)_label_(?P<codes>A|(B[12456]|G)(-(B[12456]|G|0))*)")
_XD_CODES = frozenset({"B1", "B2", "B4", "B5", "B6", "G"})
_MSAD_NAME = re.compile(
    r"(?P<normal>MSAD_normal(_[a-z]+)?)_[0-9]+|(?P<anomaly>(?!(?i:MSAD))[A-Za-z]+(_[A-Za-z]+)*)_[0-9]+"
)
_TAD_NAME = re.compile(
    r"(?P<normal>Normal)_[0-9]+|0(?P<number>[1-7])_(?P<anomaly>Accident|IllegalTurn|IllegalOccupation|Retrograde|else|"
    r"PedestrianOnRoad|RoadSpills)_[0-9]+"
)
_UBNORMAL_NAME = re.compile(r"(?P<anomaly>ab)?normal_scene_[0-9]+_scenario_?[0-9]+(_[0-9a-z]+)*")


def video_name(name: str) -> str:
    """Return a video's name without its folder and without a known video extension (any case).

    Any other dot belongs to the name: "Bad.Boys.1995__#..." has no extension.
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix.lower()}" in VIDEO_SUFFIXES else name


def ucf_crime_name(video_id: str) -> tuple[int, str]:
    """Read label and category of a UCF-Crime video from its name, for training videos, which no annotation file lists.

    `Normal_Videos001_x264` (train) and `Normal_Videos_003_x264` (test) are normal, `Abuse001_x264` is not.
    Folder names are not used: three different ones mean "normal".

    Raises:
        VadprobeError: if the name is not one of UCF-Crime's.
    """
    match = _UCF_NAME.fullmatch(video_id)
    if match:
        return int(match["normal"] is None), match["normal"] or match["anomaly"]
    raise VadprobeError(
        f"{video_id!r} must be a UCF-Crime video name: 'Normal_Videos_003_x264', or a class with a number, such as "
        "'Abuse028_x264'. Label other videos in a manifest."
    )


def xd_violence_name(video_id: str) -> tuple[int, str]:
    """Read label and category codes of an XD-Violence video from its name, `..._label_<codes>`.

    `A` is normal; B1 fighting, B2 shooting, B4 riot, B5 abuse, B6 car accident and G explosion are not. Up to three
    are joined by `-`; the padding `0` is left out ("B2-G-0" gives "B2-G").

    Raises:
        VadprobeError: if the name has no such ending.
    """
    match = _XD_NAME.fullmatch(video_id)
    if match is None:
        raise VadprobeError(
            f"{video_id!r} must be an XD-Violence video name, which ends in '_label_A' or codes of B1, B2, B4, B5, B6, "
            "G, such as '_label_B2-G-0'. Label other videos in a manifest."
        )
    codes = [code for code in match["codes"].split("-") if code != "0"]
    return int(codes != ["A"]), "-".join(codes)


def xd_violence_source(video_id: str) -> str | None:
    """Return the film or the uploaded video that an XD-Violence clip was cut from: the part before `__#`, or None."""
    source, mark, _ = video_id.partition("__#")
    return source if mark else None


def _matched(pattern: re.Pattern[str], video_id: str, of_set: str, examples: str) -> re.Match[str]:
    """Match a name with the pattern of a set's names, or refuse it with examples."""
    match = pattern.fullmatch(video_id)
    if match is None:
        raise VadprobeError(
            f"{video_id!r} must be {of_set} video name, such as {examples}. Label other videos in a manifest."
        )
    return match


def msad_name(video_id: str) -> tuple[int, str]:
    """Read label and category of an MSAD video from its name.

    "Assault_2" is anomalous, "MSAD_normal_testing_118" is not.

    Raises:
        VadprobeError: if the name is not one of MSAD's.
    """
    match = _matched(_MSAD_NAME, video_id, "an MSAD", "'Assault_2' or 'MSAD_normal_testing_118'")
    return (0, "Normal") if match["normal"] else (1, match["anomaly"])


def ubnormal_name(video_id: str) -> tuple[int, str]:
    """Read label and category of a UBnormal video from its name.

    "abnormal_scene_8_scenario_1_fog" is anomalous, "normal_scene_1_scenario1_9" is not.

    Raises:
        VadprobeError: if the name is not one of UBnormal's.
    """
    match = _matched(
        _UBNORMAL_NAME, video_id, "a UBnormal", "'abnormal_scene_8_scenario_1_fog' or 'normal_scene_1_scenario1_9'"
    )
    return (1, "Abnormal") if match["anomaly"] else (0, "Normal")


def tad_name(video_id: str) -> tuple[int, str]:
    """Read label and category of a TAD video from its name.

    "01_Accident_006" is anomalous, "Normal_008" is not.

    Raises:
        VadprobeError: if the name is not one of TAD's.
    """
    match = _matched(_TAD_NAME, video_id, "a TAD", "'01_Accident_006' or 'Normal_008'")
    return (0, "Normal") if match["normal"] else (1, match["anomaly"])


def classes_of(category: str | None) -> tuple[str, ...]:
    """Return the classes of a category: two for XD-Violence's "B2-G", one for any other word, none for None."""
    if not category:
        return ()
    parts = category.split("-")
    return tuple(parts) if all(part in _XD_CODES for part in parts) else (category,)
