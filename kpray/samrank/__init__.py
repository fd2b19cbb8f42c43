"""SAMRank: keyphrases from the self-attention maps of a language model, without training."""
