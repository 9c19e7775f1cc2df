"""Agreement of selections of layers and heads between draws, prompts, conventions, datasets and backbones."""
