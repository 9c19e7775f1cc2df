# %% [markdown]
# # Inside a store
#
# Everything that the command line does is Python. This notebook draws a very small world, lets the demo's backbone look
# at it, opens the store of features, chooses a layer, fits a probe and measures it. It takes a minute on two cores.
#
# The numbers mean nothing beyond this drawing: seventeen training videos, one draw.

# %%
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vadprobe.analyze import evaluate, select
from vadprobe.extract.demo.surveillance import make_surveillance_set
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.demo.ingredients import install_backbone
from vadprobe.store import open_store

folder = Path(mkdtemp(prefix="vadprobe-"))

# %% [markdown]
# ## A world and a backbone
#
# `make_surveillance_set` returns the dataset: videos with their splits and labels, and the anomalous intervals.

# %%
dataset = make_surveillance_set(folder / "world", seed=5, n_videos=32, seconds=(4.0, 8.0), workers=0)
install_backbone(folder / "demo-captioner")
for split in ("train", "validation", "test"):
    labels_of_split = [video.label for video in dataset.videos if video.split == split]
    print(split, len(labels_of_split), "videos,", labels_of_split.count(1), "anomalous")

# %% [markdown]
# ## Extract
#
# A job says what to compute: one vector for each training video, and segments of 24 frames of the others.
# `main([...])` is the command line in this process; it returns the exit code, 0 for done.

# %%
(folder / "job.toml").write_text("""
workspace = "."
prompts = ["detailed"]

[dataset]
name = "world"
format = "manifest"
videos = "world/videos"
manifest = "world/manifest"

[store]
root = "features"

[[sampling]]
unit = "video"
frames_per_clip = 8
splits = ["train"]

[[sampling]]
unit = "segment"
clip_length = 24
frames_per_clip = 8
splits = ["test"]

[backbone]
key = "demo-captioner"
path = "demo-captioner"
dtype = "float32"
frame_size = [112, 168]
""")
code = main(["extract", str(folder / "job.toml")])
print("exit code", code)

# %% [markdown]
# ## Open the stores
#
# A store is one prompt's features. Row n is clip n of its clip table. Layer 0 is the embedding.

# %%
train = open_store(folder / "features" / "world" / "video-8" / "demo-captioner" / "detailed.zarr")
test = open_store(folder / "features" / "world" / "segment-24-8" / "demo-captioner" / "detailed.zarr")
print(train.spec.prompt.text)
print(train.hidden_states(range(2), [0, 3]).shape, "= rows, layers, hidden")
print(test.head_outputs(range(2), [(3, 6)]).shape, "= rows, heads, head_dim")

# %% [markdown]
# ## Choose a layer
#
# Labels are never in a store; they come from the dataset, by name.

# %%
label = {video.video_id: video.label for video in dataset.videos}
names = [train.clips.video_ids[code] for code in train.clips.video_codes]
known = np.array([row for row in range(len(train.clips)) if row not in train.failures])
labels = np.array([label[names[row]] for row in known])
selection = select(train, known, labels, method="hiprobe")
(layer,) = selection.indices[0]
print("DLSP takes layer", layer)
for number, score in enumerate(selection.scores, start=selection.first_layer):
    print(f"  layer {number}: S = {score:+.2f}")

# %% [markdown]
# ## Fit and score
#
# The probe is a logistic regression. Each segment's probability goes to all of its frames; a frame without a score is
# NaN, and stays unknown.

# %%
probe = make_pipeline(StandardScaler(), LogisticRegression())
probe.fit(train.hidden_states(known, [layer])[:, 0], labels)

clips = test.clips
readable = np.array([row for row in range(len(clips)) if row not in test.failures])
probability = np.full(len(clips), np.nan)
probability[readable] = probe.predict_proba(test.hidden_states(readable, [layer])[:, 0])[:, 1]

frames = {video.video_id: video.n_frames for video in dataset.videos if video.split == "test"}
scores = {}
for row in range(len(clips)):
    name = clips.video_ids[clips.video_codes[row]]
    scores.setdefault(name, np.full(frames[name], np.nan))[clips.start_frames[row] : clips.stop_frames[row]] = (
        probability[row]
    )

# %% [markdown]
# ## Measure
#
# With the interval, and beside a score that looks at no picture.

# %%
found = evaluate(dataset, scores, threshold=0.5)
low, high = found.intervals["auc"]
print(f"AUC {found.auc:.2f} [{low:.2f}, {high:.2f}] on {found.n_videos} videos")
print(f"true video label, held flat: {found.baselines['video_flat']['auc']:.2f}")
for caveat in found.caveats:
    print("-", caveat)

# %% [markdown]
# The interval is wide, and the baseline is hard to beat: that is what seventeen training videos give, and eight test
# videos show. The next step is `vadprobe analyze`, which does all of this with baselines, intervals and a report.
