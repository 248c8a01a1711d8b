"""Images that are the same: byte for byte, or nearly."""
