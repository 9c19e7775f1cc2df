"""URLs without their secrets, for logs, errors and the names of files."""

import re
from urllib.parse import parse_qsl, urlsplit

SECRET = "***"


def is_url(argument: str) -> bool:
    """Return True if an argument names a stream by scheme, such as `rtsp://camera/1`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", argument) is not None


def masked(url: str) -> str:
    """Return a URL whose user, password, query values and fragment are replaced by `***`.

    Every value of the query is hidden, because no list has the names of all parameters that may hold a token.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")
    except ValueError:  # brackets that are no address
        return f"{url.partition('://')[0]}://{SECRET}"
    query = "&".join(f"{key}={SECRET}" for key, _ in parse_qsl(parts.query, keep_blank_values=True))
    if parts.query and not query:
        query = SECRET
    shown = f"{parts.scheme}://{SECRET + '@' if host[1] else ''}{host[2]}{parts.path}"
    return shown + (f"?{query}" if query else "") + (f"#{SECRET}" if parts.fragment else "")


def name_of_url(url: str) -> str:
    """Return a name fit for a file, from host, port and path of a URL, such as `camera.example-554-live-1`."""
    shown = masked(url).partition("://")[2].partition("?")[0].partition("#")[0].rpartition("@")[2]
    return re.sub(r"[^A-Za-z0-9._]+", "-", shown).strip("-.")[:120] or "stream"
