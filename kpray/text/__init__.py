"""Text processing: words with offsets, stems, part-of-speech tags, candidate phrases, present and absent phrases."""
