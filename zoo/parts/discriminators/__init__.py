"""Discriminators: trunks that compute features for a head, or networks with scores of their own."""
