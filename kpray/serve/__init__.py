"""An HTTP service for keyphrases, on Ray Serve."""

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
