"""Words with offsets, stems, noun-phrase candidates, present and absent."""
