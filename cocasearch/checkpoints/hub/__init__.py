"""Published models, from the Hugging Face hub to model folders."""
