"""Reports of jobs: the parts of a page, read from the files of a finished analysis, and film strips of its videos."""
