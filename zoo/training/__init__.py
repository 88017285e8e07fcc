"""Training: the step in pure PyTorch, the LightningModule around it, and what they need.

Imports metrics, inference and all below them, and no command line; step.py and what it imports take
no Lightning.
From outside, `gan.GAN` and `step.AdversarialStep` are what trains, `build` makes them of a
configuration; README.md says what is in which file.
"""
