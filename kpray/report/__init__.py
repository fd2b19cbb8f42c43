"""Numbers in, pictures and tables out."""
