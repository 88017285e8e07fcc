"""From a trained network's file to images: load, sample, export, publish."""
