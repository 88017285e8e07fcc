"""Feature networks that metrics compare images by, one file each."""
