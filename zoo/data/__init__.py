"""Data modules, in-memory loading and the resumable sampler."""
