"""Code that all distributed jobs share: settings, the Ray session, checks before the start, metrics."""

import os

# Ray reads this variable when it is imported. Without it, whether Ray asks for a token depends on what ran on this
# machine before. Every package that imports Ray imports this one first.
os.environ.setdefault("RAY_AUTH_MODE", "token")
