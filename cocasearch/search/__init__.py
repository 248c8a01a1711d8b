"""From a question to the images that answer it best."""
