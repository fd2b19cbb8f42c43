"""RGIT (Algorithm 1 of the RAMKG paper) on Ray Train and Ray Data."""
