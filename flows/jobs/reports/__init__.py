"""Reports of jobs: what the files of a finished analysis hold for the page, and film strips of its videos."""
