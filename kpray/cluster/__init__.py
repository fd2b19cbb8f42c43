"""Code that all distributed jobs share: settings, the Ray session, checks before the start, metrics."""

import os

# Ray reads these variables when it is imported. Every package that imports Ray imports this one first.

# Without it, whether Ray asks for a token depends on what ran on this machine before.
os.environ.setdefault("RAY_AUTH_MODE", "token")

# Otherwise a thread of Ray Data that outlives an interrupted job starts a second Ray with its next call.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
