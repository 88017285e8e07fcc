"""What `task=` selects."""
