"""Schedules: settings as functions of the number of real images seen."""
