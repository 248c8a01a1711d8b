"""Arguments and options of several commands, and the checks on them."""
