"""Commands of the first minutes: the demo, and the deployments of a job."""
