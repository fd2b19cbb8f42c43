"""RGIT (Algorithm 1 of RAMKG's paper) on Ray Train and Ray Data."""
