"""The parts, one file each, in a folder for each kind; made by `zoo.create`, not imported."""
