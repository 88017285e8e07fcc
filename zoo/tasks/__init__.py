"""What `task=` selects, one file each; `templates/` is what `task=new` writes.

The top floor: imports any room below.
Nothing imports tasks but `zoo` itself, which hands on `zoo.evaluate`; the command line makes them
by the registry, as it does all parts.
"""
