"""Matching names of scored videos with those of a ground truth, although programs write names differently."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.score_files.values import VideoScores
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted


@dataclass(frozen=True)
class Renaming:
    """Replacement of a text in the names of both sides before they are compared."""

    old: str
    new: str

    @classmethod
    def of(cls, text: str) -> "Renaming":
        """Read `OLD=NEW`; an empty NEW removes OLD.

        Raises:
            VadprobeError: if it is not of that form.
        """
        old, sign, new = text.partition("=")
        if not (old and sign):
            raise VadprobeError(f"--rename must be OLD=NEW, such as '#=' to leave every '#' out, got {text!r}.")
        return cls(old, new)

    def __call__(self, name: str) -> str:
        return name.replace(self.old, self.new)


@dataclass(frozen=True)
class JoinedNames:
    """Scores by the truth's names, the file's names that are not in the truth, and a note on names that differ."""

    scores: dict[str, VideoScores]
    unknown: list[str]
    notes: tuple[str, ...] = ()


def join_names(found: Mapping[str, VideoScores], truth: GroundTruth, renaming: Renaming | None = None) -> JoinedNames:
    """Join the scores of a file to the videos of a truth.

    Scores are named without folder and extension, while a truth from a user's table may have names with them. Names
    that match no other name are compared by their letters and digits alone, if these are unique on each side: many
    tools remove '#', blanks or brackets from file names.

    Raises:
        VadprobeError: if two names of one side become equal.
    """
    change = renaming or str
    plain = {name: change(name if name in found else video_name(name)) for name in truth.video_ids}
    own = {name: change(name) for name in found}
    _check_distinct(plain, repr(truth.dataset), renaming)
    _check_distinct(own, "the score file", renaming)
    by_name = {short: name for name, short in own.items()}
    joined = {name: by_name[short] for name, short in plain.items() if short in by_name}
    notes: tuple[str, ...] = ()
    left = set(found) - set(joined.values())
    if left and len(joined) < len(plain):
        more = _by_letters(plain, own, set(plain) - set(joined), left)
        if more:
            name = min(more)
            notes = (
                f"{counted(len(more), 'video')} joined by the letters and digits of their names alone, because "
                f"the score file writes them differently: {more[name]!r} is {name!r}.",
            )
            joined |= more
    ordered = {name: found[joined[name]] for name in truth.video_ids if name in joined}
    used = set(joined.values())
    return JoinedNames(ordered, [name for name in found if name not in used], notes)


def _check_distinct(names: Mapping[str, str], whose: str, renaming: Renaming | None) -> None:
    owner: dict[str, str] = {}
    for name, short in names.items():
        other = owner.setdefault(short, name)
        if other == name:
            continue
        both = f"the videos {other!r} and {name!r} of {whose}"
        if renaming is not None:
            raise VadprobeError(f"--rename makes one name, {short!r}, of {both}; they could not be told apart.")
        raise VadprobeError(
            f"{both} have one name without folder and extension, by which scores are joined; rename one in the "
            "annotation and in the score file."
        )


def _by_letters(
    plain: Mapping[str, str], own: Mapping[str, str], missing: Iterable[str], left: Iterable[str]
) -> dict[str, str]:
    """Return pairs of a missing and a left name whose letters and digits are equal and belong to no other name."""
    of_truth, of_file = Counter(map(_letters, plain.values())), Counter(map(_letters, own.values()))
    candidates = {_letters(own[name]): name for name in left if of_file[_letters(own[name])] == 1}
    return {
        name: candidates[letters]
        for name in missing
        if of_truth[letters := _letters(plain[name])] == 1 and letters and letters in candidates
    }


def _letters(name: str) -> str:
    return "".join(character for character in name if character.isalnum())
