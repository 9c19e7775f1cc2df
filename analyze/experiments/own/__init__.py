"""Our own tables, which are in no paper: layers, heads, locators, backbones and transfers."""
