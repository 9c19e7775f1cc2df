"""Selections: scores and inputs, files, and refusals."""

import json
import math

import numpy as np
import pytest
from hypothesis import given

from tests.support import profiles
from tests.support.samples.heads import head_draws, head_values, layer_draws, layer_values
from vadprobe.analyze.saliency.ranking import dlsp, rhi
from vadprobe.analyze.saliency.selection import Selection, layer_name, select_heads, select_layer
from vadprobe.store.errors import VadprobeError

laws = profiles.laws(60)


def test_selections_carry_scores_and_inputs():
    digests = {"features": "1234"}
    metrics = layer_values(5, 6)
    layer = select_layer(metrics, inputs=digests)
    assert (layer.unit, layer.method, layer.first_layer, layer.inputs) == ("layer", "dlsp", 1, digests)
    assert layer.score_array().tolist() == dlsp(metrics)[0].tolist()
    assert layer.indices[0][0] == 1 + int(np.argmax(layer.scores))
    metrics = head_values(5)
    heads = select_heads(metrics, weight=0.3, top=3, inputs=digests)
    assert (heads.unit, heads.method, heads.first_layer, heads.inputs) == ("head", "rhi", 0, digests)
    found = rhi(metrics, 0.3, 3)
    assert heads.indices == found.heads
    assert heads.score_array().tolist() == found.robust.tolist()


@laws
@given(head_draws, layer_draws)
def test_a_selection_survives_json_bit_for_bit(heads, layers):
    unknown = {p: {name: values.copy() for name, values in of.items()} for p, of in heads.items()}
    unknown["prompt-0"]["lda"][0, 0] = math.nan
    for selection in (
        select_layer(layers, inputs={"a": "b"}),
        select_heads(heads, top=2, inputs={"a": "b"}),
        select_heads(unknown, top=1),
        Selection("layer", "final", ((28,),)),
    ):
        text = json.dumps(selection.to_json(), allow_nan=False)
        again = Selection.from_json(json.loads(text))
        assert again == selection
        assert hash(again) == hash(selection)
        assert json.dumps(again.to_json()) == text


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"unit": "neuron"}, "unit must be .* got 'neuron'"),
        ({"method": ""}, "method is empty"),
        ({"indices": ()}, "at least one"),
        ({"indices": ((1, 2), (1, 2))}, "only once"),
        ({"indices": ((1,),)}, r"must be \(block, head\), .* got \(1,\)"),
        ({"indices": ((1, -2),)}, "whole numbers from 0"),
        ({"indices": ((1, 2.0),)}, "whole numbers from 0"),
        ({"unit": "layer"}, r"must be \(layer\), .* got \(1, 2\)"),
        ({"scores": ((0.1, 0.2, 0.3),)}, r"shape \(1, 3\)"),
        ({"scores": (0.1, 0.2, 0.3)}, r"shape \(3,\)"),
        ({"scores": ((0.1, 0.2), (0.3,))}, "not an array of numbers"),
        ({"scores": (("a", "b", "c"), ("d", "e", "f"))}, "not an array of numbers"),
    ],
)
def test_a_selection_that_means_nothing_is_refused(settings_, message):
    sound = {"unit": "head", "method": "rhi", "indices": ((1, 2), (0, 0)), "scores": ((0.1, 0.2, 0.3),) * 2}
    Selection(**sound)
    with pytest.raises(VadprobeError, match=message):
        Selection(**(sound | settings_))


def test_scores_start_at_the_first_layer():
    assert Selection("layer", "dlsp", ((1,),), (0.5, 0.2), first_layer=1)
    for layer in (0, 3):
        with pytest.raises(VadprobeError, match="from layer 1"):
            Selection("layer", "dlsp", ((layer,),), (0.5, 0.2), first_layer=1)


def test_a_file_that_is_not_a_selection_is_refused():
    value = Selection("layer", "dlsp", ((3,),)).to_json()
    del value["unit"], value["scores"]
    with pytest.raises(VadprobeError, match="lacks scores, unit"):
        Selection.from_json(value)


def test_a_layer_is_named_with_its_block_as_the_paper_numbers_it():
    assert [layer_name(layer) for layer in (0, 1, 21)] == ["0 (embedding)", "1 (block 0)", "21 (block 20)"]
