"""Files, standard error and words: what reads and writes outside the program."""
