"""Serving: what happens between a request and a predictor. Only `kpray.cluster.serve` knows that Ray is there."""
