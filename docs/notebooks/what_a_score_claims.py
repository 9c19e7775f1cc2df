# %% [markdown]
# # What a score claims
#
# Four scores on one made-up test set. One of them has a good AUC and finds no event. No video and no
# model is needed; it takes seconds.

# %%
from pathlib import Path

import numpy as np

from vadprobe.analyze import Evaluation, evaluate
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video

random = np.random.default_rng(0)

# %% [markdown]
# ## A test set
#
# Forty videos of 600 frames, half of them with an event of 90 frames somewhere.

# %%
videos = tuple(Video(f"video{n:02}", f"video{n:02}.mp4", 600, label=n % 2, split="test") for n in range(40))
starts = {video.video_id: int(random.integers(0, 510)) for video in videos if video.label}
events = tuple(Interval(name, start, start + 90) for name, start in starts.items())
truth = Dataset("made-up", Path("videos"), videos, events)

# %% [markdown]
# ## Four scores
#
# - *which video*: tells anomalous videos from normal ones, and is flat within each;
# - *which moment*: rises at the event, and knows nothing else;
# - *both*: the sum;
# - *noise*: nothing.

# %%
which_video, which_moment, both, noise = {}, {}, {}, {}
for video in videos:
    name = video.video_id
    rough = random.normal(0, 0.4, 600)
    level = np.full(600, float(video.label) + random.normal(0, 0.5))
    moment = np.zeros(600)
    if video.label:
        moment[starts[name] : starts[name] + 90] = 1
    which_video[name] = level
    which_moment[name] = moment + rough
    both[name] = level + moment + rough
    noise[name] = random.normal(0, 1, 600)

# %% [markdown]
# ## Measured
#
# `evaluate` gives every number its interval by resampling whole videos.

# %%
measured: dict[str, Evaluation] = {
    "which video": evaluate(truth, which_video),
    "which moment": evaluate(truth, which_moment),
    "both": evaluate(truth, both),
    "noise": evaluate(truth, noise),
}
print(f"{'':22}{'AUC':>20}{'macro AUC':>12}{'step AP':>10}")
for name, found in measured.items():
    low, high = found.intervals["auc"]
    print(f"{name:22}{found.auc:6.2f} [{low:.2f}, {high:.2f}]{found.auc_macro:12.2f}{found.ap_step:10.2f}")
for name, values in measured["noise"].baselines.items():
    print(f"baseline {name:13}{values['auc']:6.2f}{'':14}{values['auc_macro']:12.2f}{values['ap_step']:10.2f}")

# %% [markdown]
# *which video* has a good AUC and a macro AUC of exactly 0.5: within a video it tells nothing. A baseline that knows
# the true label of each video (`video_flat`) is as good. Say so beside every AUC.
#
# The caveats say it in words:

# %%
for name, found in measured.items():
    for caveat in found.caveats:
        print(f"{name}: {caveat}")

# %% [markdown]
# ## Frames are not independent
#
# If the 24,000 frames were independent, the interval of *both* would be narrow. It is not: there are 40 videos.

# %%
found = measured["both"]
low, high = found.intervals["auc"]
naive = 1.96 * np.sqrt(found.auc * (1 - found.auc) / found.n_positive)
print(f"over videos: {found.auc:.3f} [{low:.3f}, {high:.3f}]")
print(f"a rough formula over frames: {found.auc:.3f} [{found.auc - naive:.3f}, {found.auc + naive:.3f}]")
