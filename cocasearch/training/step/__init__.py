"""One training step: gradients within memory and over processes, and what the optimizer makes of them."""
