"""Small files of known content, and the programs that made them."""
