"""The base classes of the parts, one file each, and the records that pass between them."""
