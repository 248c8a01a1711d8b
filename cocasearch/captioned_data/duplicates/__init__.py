"""The search for images that are the same, byte for byte or nearly."""
