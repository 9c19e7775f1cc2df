"""What a flow run shows and how it ends: parameters, names, steps as tasks, artifacts, states, retries."""
