"""The readings of the papers that a job chose in place of the defaults, which the detector records."""

import math
from collections.abc import Iterator
from typing import Any

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.locator.settings import LOCATORS
from vadprobe.store.settings import OpenReading, Section


def changed_readings(config: AnalysisConfig) -> dict[str, Any]:
    """Return the keys of open readings that differ from their defaults: JSON values by "section.key".

    Open readings are listed in docs/explanation/readings.md.

    The locator's defaults are those of the job's method.
    """
    found = dict(_changed(config, ""))
    for name, value in LOCATORS[config.method].items():
        key = f"locator.{name}"
        if getattr(config.locator, name) == value:
            found.pop(key, None)
        else:
            found[key] = _plain(getattr(config.locator, name))
    return found


def _changed(section: Section, place: str) -> Iterator[tuple[str, Any]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _changed(value, f"{place}{name}.")
        elif value != field.default and any(isinstance(item, OpenReading) for item in field.metadata):
            yield f"{place}{name}", _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return list(value) if isinstance(value, tuple) else value
