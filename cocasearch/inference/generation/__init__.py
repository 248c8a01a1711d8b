"""How captions are written: the search for the next token, its rules and its options."""
