"""The list of verified families is that of the families that the tests run."""

import pytest

from tests.conftest import FAMILIES
from tests.support.oracles.processor_passes import KINDS
from vadprobe.extract.families.registry import FAMILIES as OWN
from vadprobe.extract.families.verified import HEAD, MEANINGS, VERIFIED
from vadprobe.flows.command_line import main


def test_every_family_that_is_tested_is_listed_and_no_other() -> None:
    tested = {str(getattr(kind, "values", (kind,))[0]) for kind in KINDS}
    assert {family.name for family in VERIFIED if family.inputs == "processor"} == tested
    assert {family.name for family in VERIFIED if family.inputs == "own"} == set(OWN)
    sharing = {family.name for family in VERIFIED if family.prefix}
    assert sharing == {name.removesuffix("-llama") for name in FAMILIES}


def test_the_command_prints_the_list_and_what_its_columns_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones"]) == 0
    said = capsys.readouterr().out
    for family in VERIFIED:
        assert len(family.cells) == len(HEAD)
        assert f"\n{family.name} " in said
    for name, meaning in MEANINGS:
        assert name in HEAD
        assert meaning in said
