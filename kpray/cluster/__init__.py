"""What every distributed job shares: its settings, its Ray session, the checks before it starts, its metrics."""

import os

# Ray reads this when it is imported. Left out, whether it asks for a token depends on what ran on the machine before.
# Every room that imports Ray imports this package first.
os.environ.setdefault("RAY_AUTH_MODE", "token")
