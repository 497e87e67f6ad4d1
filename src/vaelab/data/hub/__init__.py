"""Tables of the Hugging Face hub, and where the images lie in them."""
