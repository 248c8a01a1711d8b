"""The commands below `cocasearch models`."""
