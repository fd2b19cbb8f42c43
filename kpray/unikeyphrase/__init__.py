"""UniKeyphrase (Wu et al., Findings of ACL 2021): one model extracts present and generates absent keyphrases."""
