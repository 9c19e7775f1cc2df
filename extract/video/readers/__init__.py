"""Open videos whose frames are read by index: one reader per library, and the choice between them."""
