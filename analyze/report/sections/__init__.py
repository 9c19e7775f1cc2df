"""The sections of the report, each built from the files of one or several analyses."""
