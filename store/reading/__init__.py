"""Reading features back: rows, layers and heads of one store."""
