"""Findings about Prefect: its client, and the server that it is set to use."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator

from vadprobe.flows.commands.setup.diagnosis.finding import Finding
from vadprobe.flows.commands.setup.diagnosis.packages import has_package

_SECONDS = 5


def engine_findings() -> Iterator[Finding]:
    """Yield findings on how flows would run here; no setting is changed, and no server is started."""
    if not has_package("prefect"):
        text = "not installed; every command works without it"
        yield Finding("Prefect", "note", text, "pip install 'vadprobe[flows]', for runs of a team")
        return
    url = _api_url()
    if not url:
        text = "no server is set (PREFECT_API_URL): a flow then starts a temporary server inside its own process"
        yield Finding("Prefect", "good", text)
        return
    yield _server_finding(url)


def _api_url() -> str:
    """Return the address of the server, from the environment or the profile of Prefect; "" for none."""
    if "PREFECT_API_URL" in os.environ:
        return os.environ["PREFECT_API_URL"]
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value() or "")


def _server_finding(url: str) -> Finding:
    shown = url.rpartition("@")[2]
    if not url.startswith(("http://", "https://")):
        text = f"PREFECT_API_URL must be an address that begins with http:// or https://, got {shown}"
        return Finding("Prefect", "problem", text, "prefect config set PREFECT_API_URL=http://HOST:4200/api")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_SECONDS) as answer:
            answer.read(100)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Finding("Prefect", "good", f"the server at {shown} answers, but asks for credentials")
        cure = "give the address that ends with /api"
        return Finding("Prefect", "problem", f"the server at {shown} answers {error.code} for /health", cure)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        cure = "start it there with 'prefect server start', or unset PREFECT_API_URL to run without one"
        return Finding("Prefect", "problem", f"the server at {shown} does not answer ({reason})", cure)
    return Finding("Prefect", "good", f"the server at {shown} answers")
