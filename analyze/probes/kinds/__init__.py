"""The kinds of fitted probes: frozen values that score, with the fits that need no scikit-learn."""
