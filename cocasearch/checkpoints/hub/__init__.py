"""Published models: what there is, and how they come from the Hugging Face hub to model folders."""
