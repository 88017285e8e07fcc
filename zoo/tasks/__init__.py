"""The tasks of the command line (`task=NAME`), one per file; `templates/` is for `task=new`.

This is the top layer of the project: tasks may import every other package, and only `zoo` itself
imports from here, to export `zoo.evaluate`. The command line creates tasks through the registry,
like all parts.
"""
