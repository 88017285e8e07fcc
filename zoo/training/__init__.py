"""Training: the adversarial step in pure PyTorch, and the LightningModule that runs it.

The entry points are `gan.GAN` and `step.AdversarialStep`; `build` makes a GAN from a configuration.
README.md lists the files.

This package imports metrics, inference and the packages below them, but not the command line.
step.py and the modules that it imports do not depend on Lightning.
"""
