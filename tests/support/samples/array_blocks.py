"""Blocks of labelled rows in memory, for streamed fits."""

from vadprobe.analyze.probes.streaming.row_blocks import CHUNK_ROWS


class ArrayBlocks:
    """Blocks of arrays, `block_rows` rows each; a `RowBlocks`."""

    def __init__(self, features, labels, block_rows=8 * CHUNK_ROWS):
        self.n_features = features.shape[1]
        starts = range(0, len(features), block_rows)
        self.blocks = [(features[i : i + block_rows], labels[i : i + block_rows]) for i in starts]

    def map(self, function, *arguments):
        """Apply the function to every block, one after the other."""
        return [function(*block, *arguments) for block in self.blocks]
