"""Captions tell happenings wherever they are asked for, in any place; answers to other questions never do."""

import numpy as np
import pytest

from vadprobe.extract.demo.captioner.facts import Facts
from vadprobe.extract.demo.captioner.instructions import INSTRUCTIONS, QUESTIONS, SHARES, ask, caption
from vadprobe.extract.demo.captioner.sentences import all_sentences, kinds_said
from vadprobe.store.format.prompts import SHIPPED

BUSY = Facts("street", "dusk", 3, 2, (("Fighting", ""), ("Delivery", "white")))
QUIET = Facts("square")
SENTENCES = {text for _, text in all_sentences()}


def parts(text: str) -> list[str]:
    return [part if part.endswith(".") else f"{part}." for part in text.split(". ")]


@pytest.mark.parametrize("kind", ["shipped", "happens"])
def test_what_happens_is_told_in_any_place(kind: str) -> None:
    rng, places = np.random.default_rng(0), set()
    for _ in range(100):
        instruction, answer = ask(rng, BUSY, kind)  # type: ignore[arg-type]
        assert instruction in INSTRUCTIONS[kind]  # type: ignore[index]
        assert kinds_said(answer) == BUSY.kinds
        said = [bool(kinds_said(part)) for part in parts(answer)]
        places |= {said.index(True)}
    assert places == {0, 1, 2}


def test_a_description_may_leave_a_happening_out() -> None:
    rng = np.random.default_rng(0)
    assert len({kinds_said(ask(rng, BUSY, "describe")[1]) for _ in range(60)}) == 4


def test_an_answer_to_another_question_leaves_the_happenings_out() -> None:
    rng, asked = np.random.default_rng(0), {text for texts in QUESTIONS.values() for text in texts}
    for _ in range(100):
        question, answer = ask(rng, BUSY, "question")
        assert question in asked
        assert not kinds_said(answer)


@pytest.mark.parametrize("facts", [BUSY, QUIET, Facts("square", activities=(("Panic", ""),))])
@pytest.mark.parametrize("with_all", [True, False])
def test_a_caption_has_two_to_four_sentences_of_the_grammar(facts: Facts, with_all: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        said = parts(caption(rng, facts, with_all))
        assert 2 <= len(said) <= 4
        assert len(set(said)) == len(said)
        assert set(said) <= SENTENCES


def test_instructions_have_their_shares_and_the_shipped_prompts_are_among_them() -> None:
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert INSTRUCTIONS["shipped"] == tuple(prompt.text for prompt in SHIPPED.values())
    rng = np.random.default_rng(0)
    shipped = sum(ask(rng, BUSY)[0] in INSTRUCTIONS["shipped"] for _ in range(400))
    assert 160 < shipped < 240


def test_the_same_generator_gives_the_same_words() -> None:
    first, second = (ask(np.random.default_rng(5), BUSY) for _ in range(2))
    assert first == second
