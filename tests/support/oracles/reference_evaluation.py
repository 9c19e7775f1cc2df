"""Slow oracles of the evaluation: frames are expanded and looped over, with scikit-learn and scipy where they exist."""

import csv
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from sklearn import metrics

from tests.support.paths import SHARED
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import read_source
from vadprobe.store.datasets.video import Interval, Video

NO_SHARED = f"the real annotation files are not at {SHARED} (they are not redistributed)"


def expand(scores, positives, negatives):
    """Return (frames,) truth and scores, clip after clip."""
    truth, values = [], []
    for score, positive, negative in zip(scores, positives, negatives, strict=True):
        truth += [1] * int(positive) + [0] * int(negative)
        values += [float(score)] * int(positive + negative)
    return np.array(truth), np.array(values)


def metrics_on_frames(truth, values):
    """Return scikit-learn's (AUC, step AP, trapezoid area) on single frames; NaN for one class."""
    if len(set(truth.tolist())) < 2:
        return (math.nan,) * 3
    precision, recall, _ = metrics.precision_recall_curve(truth, values)
    areas = metrics.average_precision_score(truth, values), metrics.auc(recall, precision)
    return metrics.roc_auc_score(truth, values), *areas


def smooth_by_weights(scores, sigma):
    """Return the weighted mean over the known neighbours, by two loops; the edge is mirrored, edge clip included."""
    radius = int(4 * sigma + 0.5)
    mirrored = np.pad(np.asarray(scores, dtype=np.float64), radius, mode="symmetric")
    result = []
    for centre in range(radius, radius + len(scores)):
        total = weight_sum = 0.0
        for offset in range(-radius, radius + 1):
            value = mirrored[centre + offset]
            if not np.isnan(value):
                weight = np.exp(-0.5 * (offset / sigma) ** 2)
                total, weight_sum = total + weight * value, weight_sum + weight
        result.append(np.nan if np.isnan(mirrored[centre]) else total / weight_sum)
    return np.array(result)


def runs_of_frames(flags):
    """Return the half-open runs of true frames, frame by frame."""
    runs, begin = [], None
    for frame, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = frame
        elif not flag and begin is not None:
            runs.append([begin, frame])
            begin = None
    return runs


def frame_counts(dataset_folder):
    """Return the frames of each test video in a folder of the shared files."""
    with (SHARED / dataset_folder / "test_frame_counts.csv").open() as file:
        return {row["video"]: int(row["frames"]) for row in csv.DictReader(file)}


@dataclass(frozen=True)
class MadeVideo:
    """A video of a few frames.

    `intervals` are (start, stop) and may overlap or reach past the end; `segments` are (start, stop, score) and cover
    every frame once.
    """

    name: str
    label: int
    category: str | None
    intervals: tuple[tuple[int, int], ...]
    segments: tuple[tuple[int, int, float], ...]

    @property
    def n_frames(self):
        return max((stop for _, stop, _ in self.segments), default=0)

    @property
    def flags(self):
        """Truth of every frame."""
        return [any(start <= frame < stop for start, stop in self.intervals) for frame in range(self.n_frames)]

    @property
    def frame_scores(self):
        """Score of every frame, NaN where unknown."""
        found = {frame: score for start, stop, score in self.segments for frame in range(start, stop)}
        return [found[frame] for frame in range(self.n_frames)]


NAMES = ("b", "a", "B", "v-10", "v-9", "Ünü", "x__#00-01_label_B1")
CATEGORIES = (None, "Fighting", "G", "B1", "B1-G", "B2-B1-G")
TIED_SCORES = st.sampled_from((-0.75, -0.5, 0.5, 0.75, 1.0))
SOME_UNKNOWN = st.sampled_from((-0.75, -0.5, 0.5, 0.75, 1.0, math.nan))


@st.composite
def made_videos(draw, scores=TIED_SCORES, labels=(0, 1, 1), max_videos=5):
    """Draw some videos in any order: many ties of scores, many short last segments, some sets of one class."""
    segment = st.tuples(st.integers(1, 4), scores)
    interval = st.tuples(st.integers(0, 14), st.integers(1, 6))
    video = st.tuples(
        st.sampled_from(labels),
        st.sampled_from(CATEGORIES),
        st.lists(segment, min_size=1, max_size=5),
        st.lists(interval, max_size=3),
    )
    drawn = draw(st.lists(video, min_size=1, max_size=max_videos))
    first = draw(st.integers(0, len(NAMES) - 1))
    names = NAMES[first:] + NAMES[:first]
    videos = []
    for name, (label, category, pieces, spans) in zip(names, drawn, strict=False):
        stops = np.cumsum([length for length, _ in pieces]).tolist()
        segments = zip([0, *stops], stops, [score for _, score in pieces], strict=False)
        intervals = tuple((start, start + width) for start, width in spans) if label else ()
        videos.append(MadeVideo(name, label, category if label else None, intervals, tuple(segments)))
    return videos


def truth_of(videos):
    """Return the ground truth of made videos, in the order given."""
    rows = tuple(Video(v.name, "", n_frames=v.n_frames, label=v.label, category=v.category) for v in videos)
    intervals = tuple(Interval(v.name, *span) for v in videos for span in v.intervals)
    return ground_truth(Dataset("made", Path(), rows, intervals), rows)


def scores_of(truth, videos):
    """Return the segments of made videos, in the order given."""
    rows = [(video.name, *segment) for video in videos for segment in video.segments]
    names, starts, stops, scores = zip(*rows, strict=True)
    return SegmentScores.of_videos(truth, names, np.array(starts), np.array(stops), np.array(scores))


def real_dataset(name, intervals="zero-based-half-open"):
    """Return a dataset of the shared files, as the readers join it."""
    config = DatasetConfig(name=name, format=name, source=name, intervals=intervals)
    return read_source(config, SHARED).joined().dataset


def real_truth(name, intervals="zero-based-half-open"):
    """Return the ground truth of a test set of the shared files."""
    dataset = real_dataset(name, intervals)
    return ground_truth(dataset, dataset.of_split("test"))


def pair_auc(truth, values):
    """Return AUC by its meaning: the share of pairs of a positive and a negative frame in order, ties half, or NaN."""
    positives, negatives = values[truth == 1][:, None], values[truth == 0]
    if positives.size == 0 or negatives.size == 0:
        return math.nan
    wins = np.sum(positives > negatives) + 0.5 * np.sum(positives == negatives)
    return float(wins) / (positives.size * negatives.size)


def events_of_frames(scores, threshold):
    """Return [(start, stop, confidence)] of runs of frames above the threshold; mean scores are exact, rounded once."""
    runs = runs_of_frames([score > threshold for score in scores])  # NaN is not above
    return [(start, stop, float(sum(map(Fraction, scores[start:stop])) / (stop - start))) for start, stop in runs]


def event_precision(predicted, truth, iou):
    """Return the average precision of [(video, start, stop, confidence)] against [(video, start, stop)], by loops."""
    if not truth:
        return math.nan
    taken, points, hits = set(), [], 0
    ranked = sorted(predicted, key=lambda event: (-event[3], *event[:3]))
    for count, (video, start, stop, confidence) in enumerate(ranked, start=1):
        best = Fraction(iou) - Fraction(1, 10**9)  # the comparison is closed: an overlap equal to the limit counts
        winner = None
        for other in truth:
            both = min(stop, other[2]) - max(start, other[1])
            if other[0] != video or other in taken or both <= 0:
                continue
            share = Fraction(both, max(stop, other[2]) - min(start, other[1]))
            if share > best:
                best, winner = share, other
        if winner is not None:
            taken.add(winner)
            hits += 1
        if count == len(ranked) or ranked[count][3] < confidence:
            points.append((hits, hits / count))
    reached = [
        max((precision for hits, precision in points if hits >= k), default=0.0) for k in range(1, len(truth) + 1)
    ]
    return sum(reached) / len(truth)


def pooled(videos):
    """Return (frames,) truth and scores of the known frames of some videos."""
    frames = [
        (flag, score)
        for video in videos
        for flag, score in zip(video.flags, video.frame_scores, strict=True)
        if not math.isnan(score)
    ]
    return np.array([flag for flag, _ in frames], dtype=int), np.array([score for _, score in frames], dtype=float)


def mean_of_known(values):
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def five_metrics(videos):
    """Return auc, ap_step, pr_area_trapezoid, auc_abnormal_only, auc_macro of the known frames of some videos."""
    abnormal = [video for video in videos if video.label == 1]
    return {
        **dict(zip(("auc", "ap_step", "pr_area_trapezoid"), metrics_on_frames(*pooled(videos)), strict=True)),
        "auc_abnormal_only": pair_auc(*pooled(abnormal)),
        "auc_macro": mean_of_known([pair_auc(*pooled([video])) for video in videos]),
    }


def classes_by_frames(videos):
    """Return the numbers of each class; a category "B1-G" belongs to the classes B1 and G, None to "unknown"."""
    members = {}
    for video in videos:
        if video.label == 1:
            for name in (video.category or "unknown").split("-"):
                members.setdefault(name, []).append(video)
    normal = [video for video in videos if video.label == 0]
    result = {}
    for name, mine in members.items():
        truth, values = pooled(mine)
        auc, step, area = metrics_on_frames(truth, values)
        result[name] = {
            "n_videos": len(mine),
            "n_frames": len(truth),
            "n_positive": int(truth.sum()),
            "auc": auc,
            "ap_step": step,
            "pr_area_trapezoid": area,
            "auc_with_normal": pair_auc(*pooled(mine + normal)),
        }
    return result


def highest_score(video):
    return max((score for score in video.frame_scores if not math.isnan(score)), default=math.nan)


def video_auc_by_pairs(videos):
    """Count how often an anomalous video's highest score is above a normal one's."""
    pairs = [(video.label, highest_score(video)) for video in videos if not math.isnan(highest_score(video))]
    return pair_auc(np.array([label for label, _ in pairs]), np.array([score for _, score in pairs]))


def at_threshold_by_frames(videos, threshold, ious):
    """Compute the measures that depend on the threshold, and those of events; all NaN for a NaN threshold."""
    videos = sorted(videos, key=lambda video: video.name)
    true_events = [(code, *run) for code, video in enumerate(videos) for run in map(tuple, runs_of_frames(video.flags))]
    found = [
        (code, *event)
        for code, video in enumerate(videos)
        for event in ([] if math.isnan(threshold) else events_of_frames(video.frame_scores, threshold))
    ]
    truth, values = pooled(videos)
    normal = pooled([video for video in videos if video.label == 0])[1]
    above = values > threshold
    result = {
        "f1": 2 * np.sum(above & (truth == 1)) / (np.sum(above) + np.sum(truth)) if 0 < truth.mean() < 1 else math.nan,
        "false_alarm_rate": np.mean(normal > threshold) if len(normal) else math.nan,
        "auc_gated": pair_auc(truth, np.where(above, values, -math.inf)),
        "auc_binary": pair_auc(truth, above),
        "ap_gated": metrics_on_frames(truth, np.where(above, values, values.min() - 1))[1] if len(values) else math.nan,
        "ap_binary": metrics_on_frames(truth, above.astype(float))[1],
        "event_map": {iou: event_precision(found, true_events, iou) for iou in ious},
    }
    result["event_map_mean"] = sum(result["event_map"].values()) / len(ious)
    if math.isnan(threshold):
        result = {name: dict.fromkeys(ious, math.nan) if name == "event_map" else math.nan for name in result}
    return {**result, "n_events_found": len(found), "n_events_true": len(true_events)}


def resampled_metrics(videos, n_resamples, seed):
    """Return (n_resamples,) values by metric; videos with a known frame are drawn with replacement, sorted by name."""
    videos = sorted((video for video in videos if len(pooled([video])[0])), key=lambda video: video.name)
    generator = np.random.default_rng(seed)
    rows = [
        five_metrics([videos[i] for i in generator.integers(len(videos), size=len(videos))]) for _ in range(n_resamples)
    ]
    return {metric: np.array([row[metric] for row in rows]) for metric in rows[0]}
