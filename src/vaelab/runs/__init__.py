"""The run folder: what training writes into it, and how it is read again."""
