"""Arrays of images in files: which there are, what they are, and their values as they are asked for."""
