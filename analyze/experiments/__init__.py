"""The papers' tables, measured: comparisons, transfers and ablations, each a function of jobs and their stores."""
