"""What is said of images beside them: splits, classes and factors, in folders and tables."""
