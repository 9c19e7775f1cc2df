"""Clips of generated shots for the pre-training: sampled frames in the model's size, with what they show."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import av
import numpy as np
import torch
from torch.nn.functional import interpolate

from vadprobe.extract.demo.captioner.facts import PLACED_WORDS, Facts, facts_of, places_of
from vadprobe.extract.demo.captioner.recipe import FRAME_SIZE, ClipRecipe
from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.direction import RATES, write_shot
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, NAMED_LOOK_ALIKES, PLACES, Shot
from vadprobe.store.format.sampling import sample_frames

FRAME_COUNTS = (8, 16)
"""Numbers of frames that a clip may have."""

PLAN = (("video", 8), ("video", 16), *[("segment", 8)] * 5, *[("segment", 16)] * 3)
"""The clips that are drawn of one shot: the unit (whole video or segment) and the number of frames of each."""

_SECONDS = (8.0, 40.0)
_STRIDE = 3  # length of a segment over its number of sampled frames
_ON_ANOMALY, _ON_LOOK_ALIKE = 0.4, 0.4  # shares of segments placed around an anomaly, or a look-alike, if there is one
_QUALITIES = (20, 29)  # x264's rate factors, half-open


@dataclass(frozen=True)
class TrainingClip:
    """Sampled frames of a shot in the captioner's size, with what they show.

    Attributes:
        frames: (count, 3, height, width) uint8 of `FRAME_SIZE`.
        facts: what the frames show.
        places: where they show it, as `places_of` returns it.
        seconds: duration of the clip.
    """

    frames: np.ndarray
    facts: Facts
    places: np.ndarray
    seconds: float


def slice_of(clip: TrainingClip, number: int) -> TrainingClip:
    """Return slice `number` of a clip, from 0: two frames, with the happenings that are seen in them."""
    places = clip.places[number : number + 1]
    seen = {word for index, word in enumerate(PLACED_WORDS) if places[..., index].any()}
    facts = replace(clip.facts, activities=tuple(one for one in clip.facts.activities if one[0] in seen))
    frames = clip.frames[2 * number : 2 * number + 2]
    return TrainingClip(frames, facts, places, 2 * clip.seconds / len(clip.frames))


def shot_of(recipe: ClipRecipe, shard: int, number: int) -> Shot:
    """Write the script of one shot of the pre-training; it shows only kinds that the pre-training names."""
    rng = np.random.default_rng([recipe.namespace, shard, number])
    kind = str(rng.choice(NAMED_KINDS)) if rng.random() < recipe.anomalous else None
    fps = int(rng.choice(RATES))
    return write_shot(
        rng,
        place=str(rng.choice(PLACES)),
        n_frames=int(rng.uniform(*_SECONDS) * fps),
        fps=fps,
        kind=kind,
        look_alikes=NAMED_LOOK_ALIKES,
        n_harmless=recipe.look_alikes,
    )


def film_of(recipe: ClipRecipe, shard: int, number: int) -> Film:
    """Return one shot of the pre-training, ready to be drawn; every shot has a camera of its own."""
    return Film(shot_of(recipe, shard, number), (recipe.namespace, shard, number, 0))


def draw_clips(recipe: ClipRecipe, shard: int, number: int) -> Iterator[TrainingClip]:
    """Yield the clips of one shot, in the order of `PLAN`."""
    film = film_of(recipe, shard, number)
    rng = np.random.default_rng([recipe.namespace, shard, number, 1])
    for unit, count in PLAN:
        start, stop = (0, film.shot.n_frames) if unit == "video" else _segment(rng, film.shot, _STRIDE * count)
        indices = sample_frames(start, stop, count)
        frames = np.stack(list(film.frames(indices)))
        if rng.random() < recipe.compressed:
            frames = compressed(frames, int(rng.integers(*_QUALITIES)))
        facts = facts_of(film.shot, film.tracks, indices)
        places = places_of(film.tracks, indices)
        yield TrainingClip(_resized(frames), facts, places, (stop - start) / film.shot.fps)


def _segment(rng: np.random.Generator, shot: Shot, length: int) -> tuple[int, int]:
    """Choose `length` frames `[start, stop)` of a shot: around an anomaly, around a look-alike, or anywhere."""
    around, spans = rng.random(), [(happening.start, happening.stop) for happening in shot.harmless]
    if shot.intervals and around < _ON_ANOMALY:
        spans = list(shot.intervals)
    elif not _ON_ANOMALY <= around < _ON_ANOMALY + _ON_LOOK_ALIKE or not spans:
        spans = [(length // 2, shot.n_frames - length + length // 2 + 1)]
    first, last = spans[int(rng.integers(len(spans)))]
    start = int(rng.integers(first - length // 2, max(last - length // 2, first - length // 2 + 1)))
    start = min(max(start, 0), shot.n_frames - length)
    return start, start + length


def compressed(frames: np.ndarray, quality: int) -> np.ndarray:
    """Return frames (count, height, width, 3) uint8 after H.264 compression with x264's rate factor `quality`."""
    buffer = io.BytesIO()
    options = {"preset": "veryfast", "crf": str(quality), "g": "50", "threads": "1", "mbtree": "0"}
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        container.streams.video[0].thread_type = "NONE"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _resized(frames: np.ndarray) -> np.ndarray:
    """Return frames (count, 3, height, width) uint8 of `FRAME_SIZE`, resized as stage 1 resizes."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    resized: np.ndarray = interpolate(pixels, size=FRAME_SIZE, mode="bicubic", antialias=True).numpy()
    return resized


def stacked(clips: Sequence[TrainingClip], count: int) -> tuple[np.ndarray, list[TrainingClip]]:
    """Return the frames of all clips of `count` frames, (clips, count, 3, height, width) uint8, and those clips."""
    chosen = [clip for clip in clips if len(clip.frames) == count]
    return np.stack([clip.frames for clip in chosen]), chosen
