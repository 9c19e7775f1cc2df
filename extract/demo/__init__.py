"""Generated surveillance videos and tiny backbones, for the demo and the tests."""
