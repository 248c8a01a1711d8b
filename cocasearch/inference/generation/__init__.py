"""Writing of captions: the search for the next token, its rules and its options."""
