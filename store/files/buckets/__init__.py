"""Buckets and hubs: their listings, their refusals, and repositories of a hub read like a bucket."""
