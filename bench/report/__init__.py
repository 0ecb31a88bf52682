"""A page and pictures of a result, from the file alone."""
