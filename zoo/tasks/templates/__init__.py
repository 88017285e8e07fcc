"""What `task=new` writes: per kind a part that works as it stands, and its test."""

from __future__ import annotations

from zoo.tasks.templates.measures import MEASURES
from zoo.tasks.templates.networks import NETWORKS
from zoo.tasks.templates.others import OTHERS

TEMPLATES = NETWORKS | OTHERS | MEASURES
"""The templates of each kind."""
