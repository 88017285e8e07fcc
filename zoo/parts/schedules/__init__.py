"""Settings as functions of the images seen."""
