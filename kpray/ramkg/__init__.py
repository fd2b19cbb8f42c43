"""RAMKG and RGIT (Gao et al., Findings of NAACL 2022): multilingual keyphrases with retrieved English keyphrases."""
