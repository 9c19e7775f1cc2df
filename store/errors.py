"""The one exception whose message is meant for the user."""


class VadprobeError(ValueError):
    """Wrong input, said in a sentence: the rule, the value, what to do next.

    The command line prints the message without a traceback and exits with code 2.
    """


class StoreError(VadprobeError):
    """A feature store that is missing, of another specification, incomplete or damaged."""


class VideoError(VadprobeError):
    """A video, or some frames of one, that cannot be read. It becomes a row with this message as reason."""
