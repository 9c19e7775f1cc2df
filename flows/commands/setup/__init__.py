"""Commands of the first minutes: the demo, a diagnosis of the machine, and a job for one's own videos."""
