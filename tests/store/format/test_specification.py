"""Records: what they refuse and say, and that a specification survives JSON and never shares its digest."""

import json
import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import BACKBONE, clip_table, feature_spec
from tests.support.strategies import MODERATE, NAMES, feature_specs, samplings
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.names import check_key, is_key
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec


@pytest.fixture(scope="module")
def spec():
    return feature_spec(clip_table(10))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"video_id": ""}, ["'a.mp4'", "video_id is empty", "needs a name"]),
        ({"split": "testing"}, ["'a'", "'testing'", "train, validation, test"]),
        ({"split": None}, ["'a'", "None", "train, validation, test"]),
        ({"label": 2}, ["'a'", "2", "1 (anomalous), 0 (normal)"]),
        ({"label": "1"}, ["'a'", "'1'", "1 (anomalous), 0 (normal)"]),
        ({"n_frames": -1}, ["n_frames", "-1"]),
        ({"n_frames": 4.0}, ["n_frames", "4.0"]),
        ({"fps": 0.0}, ["fps", "0.0"]),
        ({"fps": float("nan")}, ["fps", "nan"]),
    ],
)
def test_a_video_refuses_what_it_cannot_mean(arguments, words):
    with pytest.raises(VadprobeError) as error:
        Video(**{"video_id": "a", "path": "a.mp4", **arguments})
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 3), (4, 3), (0, 0)])
def test_an_interval_is_half_open_and_holds_a_frame(start, stop):
    with pytest.raises(VadprobeError, match=rf"'a'.*half-open.*got \[{start}, {stop}\)"):
        Interval("a", start, stop)
    assert Interval("a", 0, 1).stop_frame == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("clip", 24, 8), ["'clip'", "'segment' or 'video'"]),
        (("segment", None, 8), ["'segment'", "None", "needs a clip_length"]),
        (("video", 24, 8), ["'video'", "24", "must have none"]),
        (("segment", 24, 0), ["frames_per_clip must be at least 1, got 0"]),
        (("video", None, -1), ["frames_per_clip must be at least 1, got -1"]),
        (("segment", 7, 8), ["clip_length is 7", "frames_per_clip is 8"]),
        (("segment", 0, 1), ["clip_length is 0", "frames_per_clip is 1"]),
    ],
)
def test_a_sampling_without_sense_is_refused(arguments, words):
    with pytest.raises(VadprobeError) as error:
        Sampling(*arguments)
    assert [word for word in words if word not in str(error.value)] == []


@MODERATE
@given(samplings(), samplings())
def test_samplings_share_a_folder_only_when_they_are_equal(one, other):
    assert (one.key == other.key) == (one == other)
    assert check_key("a sampling", one.key) == one.key


@MODERATE
@given(NAMES | st.sampled_from(["..", ".", "a/b", "a\\b", "a b", "a\n", "C:", "ä", "-a", "a", "v1.5_x-2"]))
def test_a_key_names_one_folder_below_its_parent(key):
    if is_key(key):
        assert check_key("the key", key) == key
        assert PurePosixPath("root", key).parts == PureWindowsPath("root", key).parts == ("root", key)
        assert key.isascii()
    else:
        with pytest.raises(VadprobeError, match=f"the key is {re.escape(repr(key))}, but .* letters, digits"):
            check_key("the key", key)


def test_keys_of_prompts_and_backbones_are_checked():
    with pytest.raises(VadprobeError, match=r"prompt's key is '\.\./up'"):
        Prompt("../up", "text")
    with pytest.raises(VadprobeError, match="backbone's key is ''"):
        replace(BACKBONE, key="")
    with pytest.raises(VadprobeError, match="dtype must be 'bfloat16', 'float16' or 'float32', got 'float64'"):
        replace(BACKBONE, dtype="float64")
    with pytest.raises(VadprobeError, match="'plain' has an empty text"):
        Prompt("plain", " \n")


def test_records_do_not_change(spec):
    for record, name in ((spec, "dataset"), (spec.prompt, "text"), (spec.sampling, "unit"), (spec.backbone, "dtype")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, "other")


@MODERATE
@given(feature_specs())
def test_a_specification_survives_json(spec):
    again = FeatureSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.digest == spec.digest
    assert spec.differences(again) == []


@MODERATE
@given(feature_specs())
def test_the_order_of_recipe_and_versions_does_not_matter(spec):
    turned = replace(
        spec, recipe=dict(reversed(list(spec.recipe.items()))), versions=dict(reversed(list(spec.versions.items())))
    )
    assert turned.digest == spec.digest


def other_value(value):
    """Another value of the same kind."""
    if isinstance(value, list):
        return [*value, 9]
    return value + 1 if isinstance(value, int) else {"bfloat16": "float16"}.get(value, f"{value}x")


def leaves(value, place=()):
    """Places of all values that are neither a record nor a table."""
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in leaves(inner, (*place, name))]
    return [place]


def test_every_field_is_in_the_digest_and_named_by_differences(spec):
    fixed = [("sampling", "unit"), ("format_version",)]  # the version follows from the backbone
    places = [place for place in leaves(spec.to_json()) if place not in fixed]
    assert len(places) >= len(fields(FeatureSpec)) + len(fields(BackboneSpec)) - 1
    for place in places:
        content = json.loads(json.dumps(spec.to_json()))
        section = content
        for name in place[:-1]:
            section = section[name]
        section[place[-1]] = other_value(section[place[-1]])
        changed = FeatureSpec.from_json(content)
        assert changed.digest != spec.digest, place
        (line,) = spec.differences(changed)
        assert line.startswith(".".join(place) + ": "), place


def test_differences_say_mine_and_theirs(spec):
    other = replace(spec, prompt=replace(spec.prompt, text="What is this?"), versions={"torch": "1", "zarr": "3"})
    assert spec.differences(other) == [
        f"prompt.text: {spec.prompt.text!r}, not 'What is this?'",
        "versions.torch: '2.13.0', not '1'",
        "versions.zarr: missing, not '3'",
    ]


@pytest.mark.parametrize(
    ("mine", "theirs"), [({"a": None}, {}), ({"a": 1}, {"a": 1.0}), ({"a": 1}, {"a": True}), ({"a": (1,)}, {"a": [1]})]
)
def test_differences_are_empty_exactly_when_the_digests_agree(spec, mine, theirs):
    one, other = (replace(spec, recipe=recipe) for recipe in (mine, theirs))
    assert (one.differences(other) == []) == (one.digest == other.digest)


@pytest.mark.parametrize("value", [0, -1, 1.5, "28", None])
def test_sizes_of_a_backbone_are_whole_numbers_from_1(value):
    with pytest.raises(VadprobeError, match=rf"backbone 'toy': n_heads must be a positive integer, got {value!r}"):
        replace(BACKBONE, n_heads=value)


@pytest.mark.parametrize(
    "change",
    [{"n_clips": "10"}, {"n_clips": None}, {"clips_digest": 7}, {"recipe": []}, {"recipe": {"a": float("nan")}}],
)
def test_a_specification_of_other_types_is_refused(spec, change):
    with pytest.raises(StoreError, match="the stored specification is not valid"):
        FeatureSpec.from_json({**spec.to_json(), **change})
