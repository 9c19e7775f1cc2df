"""Default settings of Prefect where the environment does not set them; import this module before prefect.

Prefect reads its settings while it is imported. A checkout has them in pyproject.toml, which Prefect finds only in the
current folder. Commands, and flows that are called from Python in another folder, get them from here.
"""

import os

SETTINGS = {
    "DO_NOT_TRACK": "1",  # the client sends no telemetry
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # nor does a server that this process starts
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # Prefect's 20 s are too few for a first start
}

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
