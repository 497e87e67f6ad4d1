"""Perceptual distance: pretrained convolutional networks as plain modules, and LPIPS on them."""
