"""Pictures as artifacts of a run: the bytes stand in the address, so that no file server is needed."""

from base64 import b64encode


def data_url(png: bytes) -> str:
    """Return the address of a picture that is in the address."""
    return f"data:image/png;base64,{b64encode(png).decode()}"
