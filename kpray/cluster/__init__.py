"""The one folder that imports Ray or DeepSpeed: jobs on a cluster, from the same predictors and equations."""

import os

# Ray reads this when it is imported. Left out, whether it asks for a token depends on what ran on the machine before.
os.environ.setdefault("RAY_AUTH_MODE", "token")
