"""What lies in the folders of an index, compared with what the index knows, and what is to be done about it."""
