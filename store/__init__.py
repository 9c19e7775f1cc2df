"""The cache: records, clip tables, the feature store's writer, reader and verification. Knows no torch and no Dask."""
