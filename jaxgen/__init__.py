"""jaxgen: generative models in JAX and Flax."""
