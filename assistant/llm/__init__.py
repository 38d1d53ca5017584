"""A JAX inference engine for Hugging Face checkpoints; it knows nothing of tools or plans."""
