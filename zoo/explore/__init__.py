"""Pictures that show what a generator learned, and the report that holds them."""
