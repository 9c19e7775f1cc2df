"""Pictures as artifacts of a run: their bytes are in the URL, so that no file server is needed."""

from base64 import b64encode


def data_url(png: bytes) -> str:
    """Return a `data:` URL that contains a PNG picture."""
    return f"data:image/png;base64,{b64encode(png).decode()}"
