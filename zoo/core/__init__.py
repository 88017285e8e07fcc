"""What knows nothing of GANs: errors, version, extras, cache folder, processes, random numbers."""
