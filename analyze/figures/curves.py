"""Figure 6 of both papers: the scores of a video over time, with true and detected intervals."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vadprobe.analyze.detector.scoring import Scores
from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.drawn import Cell, DrawnFigure
from vadprobe.analyze.figures.source import FigureSource, notes_of
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.sampling import to_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_TEXTS = "No descriptions: 'vadprobe describe' generates texts about the scored segments."
_LETTERS_OF_A_LINE = 105
_MOST_VIDEOS = 20


@dataclass(frozen=True, eq=False)
class VideoCurve:
    """Scores of one video's segments, (n,) each, over half-open frames; the score of an unreadable segment is NaN.

    `truth` (n_frames,) bool is True for anomalous frames; None if it is not known. `texts` are descriptions of some
    segments, by the segment's position.
    """

    video: Video
    starts: np.ndarray
    stops: np.ndarray
    raw: np.ndarray
    smoothed: np.ndarray
    truth: np.ndarray | None
    texts: tuple[tuple[int, str], ...] = ()

    @property
    def kind(self) -> str:
        """Label of the video in words."""
        words = {None: "no label", 0: "normal", 1: f"anomalous: {self.video.category or 'kind unknown'}"}
        return words[self.video.label]

    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the probe's probability and the smoothed score of every frame, (n_frames,) each."""
        count = int(self.stops.max())
        raw, smoothed = (to_frames(values, self.starts, self.stops, count) for values in (self.raw, self.smoothed))
        return raw, smoothed


def anomaly_curve(
    raw: np.ndarray,
    smoothed: np.ndarray,
    truth: np.ndarray | None,
    threshold: float,
    fps: float | None,
    detected: Sequence[tuple[int, int]] | None = None,
) -> bytes:
    """Draw one video's score over its frames, with true and detected frames shaded; returns a PNG.

    A gap in the line is a clip that could not be read.

    Args:
        raw, smoothed: (n_frames,) scores in [0, 1], NaN where unknown.
        truth: (n_frames,) bool, or None when the video has no annotation.
        threshold: of the locator.
        fps: frames per second, or None to count frames.
        detected: half-open frames; by default the frames whose score is above the threshold.
    """
    figure = style.new_figure(style.WIDTH, 1.9)
    axes = figure.add_subplot()
    draw_scores(axes, raw, smoothed, truth, threshold, fps, detected)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return style.png(figure)


def draw_scores(
    axes: "Axes",
    raw: np.ndarray,
    smoothed: np.ndarray,
    truth: np.ndarray | None,
    threshold: float,
    fps: float | None,
    detected: Sequence[tuple[float, float]] | None = None,
) -> None:
    """Draw a score into a panel; other arguments as for `anomaly_curve`."""
    step = 1.0 / (fps or 1.0)
    time = np.arange(len(smoothed) + 1) * step
    if truth is not None:
        style.shade_truth(axes, [(start * step, stop * step) for start, stop in _spans(truth)])
    with np.errstate(invalid="ignore"):
        found: Sequence[tuple[float, float]] = _spans(smoothed > threshold) if detected is None else detected
    style.shade_detected(axes, [(start * step, stop * step) for start, stop in found])
    for values, look in ((raw, (style.RAW, 1.0, "probability")), (smoothed, (style.SCORE, 1.8, "smoothed"))):
        drawn = np.append(values, values[-1:])
        axes.plot(time, drawn, color=look[0], linewidth=look[1], drawstyle="steps-post", label=look[2])
    axes.axhline(threshold, color=style.MUTED, linewidth=1, linestyle="--", label=f"threshold {threshold:.2f}")
    axes.set_ylim(-0.08, 1.03)
    axes.set_xlim(0, time[-1])
    axes.set_xlabel("seconds" if fps else "frames")
    axes.set_ylabel("score")
    style.plain(axes)


def _spans(frames: np.ndarray) -> list[tuple[int, int]]:
    """Return the half-open spans of frames that are True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]).astype(np.int8)))
    return [(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]


def draw_curves(curves: Sequence[VideoCurve], threshold: float) -> "Figure":
    """Draw some videos one below the other, each with its descriptions above."""
    wrapped = [[_lines(one, number) for number in range(len(one.texts))] for one in curves]
    heights = [1.75 + 0.15 * sum(text.count("\n") + 1 for text in texts) for texts in wrapped]
    figure = style.new_figure(style.WIDTH, sum(heights) + 0.5)
    panels = figure.subplots(len(curves), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, one, texts in zip(panels, curves, wrapped, strict=True):
        raw, smoothed = one.frames()
        draw_scores(axes, raw, smoothed, one.truth, threshold, one.video.fps)
        axes.set_title(
            "\n".join([style.plain_text(f"{one.video.video_id}, {one.kind}"), *texts]), fontsize=8, loc="left"
        )
        step = 1.0 / (one.video.fps or 1.0)
        for number, (position, _) in enumerate(one.texts):
            middle = (one.starts[position] + one.stops[position]) / 2 * step
            axes.annotate(_letter(number), (middle, one.smoothed[position]), xytext=(0, 3), ha="center",
                          textcoords="offset points", fontsize=8, fontweight="bold", color=style.INK)  # fmt: skip
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    style.legend_below(figure, fullest, 5)
    return figure


def _lines(one: VideoCurve, number: int) -> str:
    """Return the description of segment `number` with its time in the video, wrapped to the figure's width."""
    position, text = one.texts[number]
    start, stop = int(one.starts[position]), int(one.stops[position])
    fps = one.video.fps
    place = f"{start / fps:.1f} to {stop / fps:.1f} s" if fps else f"frames {start} to {stop - 1}"
    words = style.plain_text(f"{_letter(number)} ({place}): {' '.join(text.split())}")
    return textwrap.fill(words, _LETTERS_OF_A_LINE, max_lines=2, placeholder=" …")


def _letter(number: int) -> str:
    return "abcdefgh"[number]


def videos_to_draw(truth: Dataset, scored: Collection[str], count: int, n_normal: int) -> list[Video]:
    """Choose test videos by name and truth alone, never by their scores.

    Annotated videos come first, then up to `n_normal` others; more others if there are too few annotated ones.
    """
    videos = sorted((v for v in truth.videos if v.split == "test" and v.video_id in scored), key=lambda v: v.video_id)
    marked = [video for video in videos if truth.intervals_of(video.video_id)]
    others = [video for video in videos if not truth.intervals_of(video.video_id)]
    n_marked = min(len(marked), max(count - n_normal, count - len(others), 0))
    return marked[:n_marked] + others[: count - n_marked]


def curve_figure(sources: Sequence[FigureSource]) -> DrawnFigure:
    """Draw figure 6 of the paper: an anomalous and a normal test video of the first job, with their descriptions.

    Raises:
        VadprobeError: if there is no such video, or a named video has no scores.
    """
    source = sources[0]
    videos = _videos(source)
    threshold = source.detector.locator.threshold
    curves = [curve_of(source.scores, source.inputs.truth, video, source.texts) for video in videos]
    rows = [row for one in curves for row in _rows(source, one, threshold)]
    missing = () if source.texts else (NO_TEXTS,)
    chosen = "as asked for" if source.videos else "the first by name that is annotated and the first that is not"
    letters = " The letters stand at the segments of greatest and least score." if source.texts else ""
    caption = (
        f"Scores of test videos ({chosen}) by {source.label}; sigma {source.detector.locator.sigma:g} segments, "
        f"threshold {threshold:.4f}. The light area is the true anomaly, the bar at the bottom what was detected: "
        f"scores above the threshold.{letters}"
    )
    return DrawnFigure(
        title="Anomaly curves of test videos",
        caption=caption,
        columns=("job", "dataset", "backbone", "video", "label", "start_frame", "stop_frame", "start_second",
                 "stop_second", "anomalous_frames", "probability", "score", "detected", "description"),
        rows=rows,
        sources=(source.to_json(),),
        figure=draw_curves(curves, threshold),
        notes=(*notes_of([source]), *missing),
    )  # fmt: skip


def _videos(source: FigureSource) -> list[Video]:
    store = source.inputs.store.clips
    scored = {store.video_ids[code] for code in np.unique(store.video_codes[source.inputs.rows_to_score()])}
    test = {video.video_id: video for video in source.inputs.truth.of_split("test")}
    if len(source.videos) > _MOST_VIDEOS:
        raise VadprobeError(f"one figure draws at most {_MOST_VIDEOS} videos, got {len(source.videos)}.")
    for name in source.videos:
        if name not in test or name not in scored:
            raise VadprobeError(f"{name!r} is not a scored test video of {source.inputs.truth.name!r}.")
    found = [test[name] for name in source.videos] or videos_to_draw(source.inputs.truth, scored, 2, 1)
    if not found:
        raise VadprobeError(f"no test video of {source.inputs.truth.name!r} is in the store.")
    return found


def curve_of(
    scores: Scores, truth: Dataset, video: Video, texts: Mapping[tuple[str, int, int], str] | None = None
) -> VideoCurve:
    """Return the scores of a video, with the texts of the segments with the highest and the lowest score."""
    table, rows = scores.table, scores.rows
    mine = table.video_codes[rows] == table.video_ids.index(video.video_id)
    starts, stops = table.start_frames[rows[mine]], table.stop_frames[rows[mine]]
    raw, smoothed = scores.raw[mine], scores.smoothed[mine]
    frames = None if video.label is None else truth.truth(video.video_id, int(stops.max()))
    found: tuple[tuple[int, str], ...] = ()
    if texts and np.isfinite(smoothed).any():
        ends = sorted({int(np.nanargmin(smoothed)), int(np.nanargmax(smoothed))})
        keys = [(video.video_id, int(starts[place]), int(stops[place])) for place in ends]
        found = tuple((place, texts[key]) for place, key in zip(ends, keys, strict=True) if key in texts)
    return VideoCurve(video, starts, stops, raw, smoothed, frames, found)


def _rows(source: FigureSource, one: VideoCurve, threshold: float) -> list[tuple[Cell, ...]]:
    names = (source.job, source.inputs.truth.name, source.backbone.key, one.video.video_id, one.video.label)
    texts, fps, rows = dict(one.texts), one.video.fps, []
    for place, (start, stop) in enumerate(zip(one.starts.tolist(), one.stops.tolist(), strict=True)):
        seconds = (start / fps, stop / fps) if fps else (None, None)
        true = None if one.truth is None else int(one.truth[start:stop].sum())
        raw, smoothed = float(one.raw[place]), float(one.smoothed[place])
        detected = int(smoothed > threshold)
        rows.append((*names, start, stop, *seconds, true, raw, smoothed, detected, texts.get(place, "")))
    return rows
