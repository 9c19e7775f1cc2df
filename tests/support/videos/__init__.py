"""Videos that tests write."""
