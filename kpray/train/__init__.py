"""Training of any `TrainingTask` on Ray Train with DeepSpeed."""

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
