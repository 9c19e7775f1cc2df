"""Files of other programs, read without trusting them."""
