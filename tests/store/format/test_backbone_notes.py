"""Notes on a backbone's weights: for random weights, for a card, strongest where the videos are none it knows."""

from dataclasses import replace

import pytest

from tests.support.builders import clip_table, feature_spec
from vadprobe.store.format.specification import DEMO_CAPTIONER, backbone_notes

CARD = {"kind": DEMO_CAPTIONER, "note": "pre-trained on drawings of the same kind; says nothing about any real camera"}


def test_most_backbones_have_none() -> None:
    assert feature_spec(clip_table(3)).notes == ()
    assert backbone_notes("a", {"random_weights": False}) == ()


def test_random_weights_say_so() -> None:
    spec = replace(feature_spec(clip_table(3)), recipe={"random_weights": True})
    assert spec.notes == ("toy has random weights: the numbers say nothing about the method or any real camera.",)


def test_a_card_brings_its_note() -> None:
    (note,) = backbone_notes("demo", {"random_weights": False, "backbone_card": CARD, "drawn": True})
    assert note == f"demo: {CARD['note']}."
    other = {"backbone_card": {"kind": "other", "note": "Fitted to one camera."}, "drawn": False}
    assert backbone_notes("b", other) == ("b: Fitted to one camera.",)


@pytest.mark.parametrize("recipe", [{"drawn": False}, {}])
def test_the_captioner_of_drawings_is_stamped_on_all_else(recipe: dict[str, bool]) -> None:
    stamp, note = backbone_notes("demo", {"backbone_card": CARD, **recipe})
    assert stamp.startswith("MEANINGLESS: these videos are not drawings")
    assert "features, scores and texts are nonsense" in stamp
    assert note == f"demo: {CARD['note']}."
