"""UniKeyphrase (Wu et al., Findings of ACL 2021): one model that extracts present and generates absent keyphrases."""
