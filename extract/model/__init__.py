"""A loaded backbone: its passes, what is captured from them, and the devices they run on."""
