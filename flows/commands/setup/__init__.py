"""Commands of the first minutes: the demo, a diagnosis of the machine, a job for your own videos, its deployments."""
