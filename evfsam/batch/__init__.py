"""Many images and clips by one command, on one machine or on Ray."""
