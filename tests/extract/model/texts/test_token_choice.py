"""Drawn tokens: those of the distribution, the same whatever else is drawn, and greedy where nothing is."""

import numpy as np
import pytest
import torch

from vadprobe.extract.model.texts.token_choice import GREEDY, TokenChoice, TokenChooser, drawn_token
from vadprobe.store.errors import VadprobeError

LOGITS = np.log(np.array([0.1, 0.6, 0.05, 0.25]))


def frequencies(temperature: float, top_p: float) -> np.ndarray:
    places = (np.arange(2000) + 0.5) / 2000
    found = [drawn_token(LOGITS, temperature, top_p, place) for place in places]
    return np.bincount(found, minlength=4) / len(places)


def test_tokens_are_drawn_as_often_as_the_distribution_says() -> None:
    np.testing.assert_allclose(frequencies(1.0, 1.0), [0.1, 0.6, 0.05, 0.25], atol=1e-3)
    flatter = np.sqrt([0.1, 0.6, 0.05, 0.25])
    np.testing.assert_allclose(frequencies(2.0, 1.0), flatter / flatter.sum(), atol=1e-3)


@pytest.mark.parametrize(
    ("top_p", "wanted"),
    [(0.5, [0, 1, 0, 0]), (0.7, [0, 0.6 / 0.85, 0, 0.25 / 0.85]), (1e-9, [0, 1, 0, 0])],
)
def test_only_the_likeliest_that_reach_the_mass_are_drawn(top_p: float, wanted: list[float]) -> None:
    np.testing.assert_allclose(frequencies(1.0, top_p), wanted, atol=1e-3)


def test_the_ends_of_the_distribution_are_tokens() -> None:
    far = np.array([0.0, -1000.0, 50.0])
    assert drawn_token(far, 1.0, 1.0, 0.0) == 2
    assert drawn_token(far, 1.0, 1.0, np.nextafter(1.0, 0.0)) in range(3)


def test_a_row_has_its_tokens_whatever_is_beside_it() -> None:
    choice = TokenChoice(1.0, 1.0, 7)
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    together = TokenChooser(choice, [choice.draws([row]) for row in range(3)])
    alone = TokenChooser(choice, [choice.draws([2])])
    for _ in range(4):
        assert together(logits)[2] == alone(logits[2:])[0]
    assert TokenChooser(GREEDY, ())(logits).tolist() == logits.argmax(dim=-1).tolist()


def test_a_greedy_choice_depends_on_nothing_else() -> None:
    assert TokenChoice(0.0, 0.5, 3).to_json() == GREEDY.to_json() == {"temperature": 0.0}
    assert TokenChoice(0.7, 0.9, 3).to_json() == {"temperature": 0.7, "top_p": 0.9, "seed": 3}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((-1.0, 1.0, 0), "temperature"),
        ((float("nan"), 1.0, 0), "temperature"),
        ((1.0, 0.0, 0), "top_p"),
        ((1.0, 1.5, 0), "top_p"),
        ((1.0, 1.0, -1), "seed"),
    ],
)
def test_impossible_choices_are_refused(given: tuple[float, float, int], named: str) -> None:
    with pytest.raises(VadprobeError, match=f"{named} must be"):
        TokenChoice(*given)
