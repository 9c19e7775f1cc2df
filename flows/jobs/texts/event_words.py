"""Words of an event that are searched for in texts: those of the demo's captioner, or the user's own."""

import re
from collections.abc import Iterable

from vadprobe.extract.demo.captioner.sentences import event_words
from vadprobe.extract.model.backbone import describe
from vadprobe.extract.model.texts.word_tokens import known_words
from vadprobe.flows.jobs.analyze_job import open_analysis
from vadprobe.flows.jobs.job import Job
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import DEMO_CAPTIONER, FeatureSpec

_WORD = r"[^\W\d_]+"


def words_of_events(job: Job) -> frozenset[str]:
    """Return the words of events that the job's backbone was taught and that its tokenizer has as one token.

    Raises:
        VadprobeError: if the backbone is not a demo captioner, the only kind whose sentences are known.
    """
    spec = open_analysis(job).store.spec
    known = taught_words(job, spec)
    if not known:
        raise VadprobeError(
            f"the backbone {spec.backbone.key!r} is not the demo's captioner, so the words that it uses "
            "for an event are not known; give them with --words, such as --words fire fight."
        )
    return known


def taught_words(job: Job, spec: FeatureSpec) -> frozenset[str]:
    """Return the words of events that a captioner was taught and has as one token; none for any other backbone."""
    if (spec.recipe.get("backbone_card") or {}).get("kind") != DEMO_CAPTIONER:
        return frozenset()
    description = describe(job.config.backbone, job.backbone_folder)
    return known_words(description.family.tokenizer, event_words())


def says_one(text: str, words: frozenset[str]) -> bool:
    """Return True if one of the words is in a text, whatever the case of its letters."""
    return not words.isdisjoint(re.findall(_WORD, text.lower()))


def check_words(words: Iterable[str]) -> None:
    """Refuse words that `says_one` can never find.

    Raises:
        VadprobeError: naming the first such word.
    """
    for word in sorted(words):
        if not re.fullmatch(_WORD, word):
            raise VadprobeError(
                f"a word of --words must be one word of letters only, got {word!r}; give its parts, or another word."
            )
