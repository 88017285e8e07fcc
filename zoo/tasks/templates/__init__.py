"""The templates of `task=new`: for each kind, a working part and its test."""

from __future__ import annotations

from zoo.tasks.templates.measures import MEASURES
from zoo.tasks.templates.networks import NETWORKS
from zoo.tasks.templates.others import OTHERS

TEMPLATES = NETWORKS | OTHERS | MEASURES
"""The templates by kind."""
