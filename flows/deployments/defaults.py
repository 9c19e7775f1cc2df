"""Settings of Prefect that a process takes where its environment does not say them; import this before prefect.

Prefect reads its settings while it is imported. A checkout has them in pyproject.toml, which Prefect finds in the
current folder alone; a flow that is called from Python anywhere else, and a command, have them from here.
"""

import os

SETTINGS = {
    "DO_NOT_TRACK": "1",  # the client sends no telemetry
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # nor does a server that this process starts
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # Prefect's 20 s are too few for a first start
}

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
