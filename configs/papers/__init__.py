"""Protocols of both papers in parts: a method, a dataset, a backbone, and the threshold grid on held-out videos."""
