"""Commands of the first minutes: the demo, a diagnosis of the machine, a job for one's own videos, its deployments."""
