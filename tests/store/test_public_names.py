"""The public names of the store: each is there, and none is imported before it is asked for."""

import subprocess
import sys

import pytest

import vadprobe.store as face
from vadprobe.store.reading.feature_store import FeatureStore


@pytest.mark.parametrize("name", face._MODULES)
def test_every_public_name_is_what_its_module_has(name):
    assert getattr(face, name).__name__ == name
    assert getattr(face, name).__module__.startswith("vadprobe.store.")
    assert name in dir(face)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match=r"module 'vadprobe\.store' has no attribute 'Reader'"):
        _ = face.Reader


def test_cards_of_earlier_stores_find_the_class_they_print():
    from vadprobe.store.reader import FeatureStore as Printed

    assert Printed is FeatureStore


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [("vadprobe.store.errors", ["numpy", "pyarrow", "zarr"]), ("vadprobe.flows.command_line", ["zarr"])],
)
def test_importing_a_module_does_not_import_what_is_slow(module, forbidden):
    code = f"import sys, {module}; print([name for name in {forbidden} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
