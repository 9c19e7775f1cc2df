"""Tables that are in no paper: layers, heads, locators, backbones and transfers, each under a name of its own."""
