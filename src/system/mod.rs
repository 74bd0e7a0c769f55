//! What the operating system wants: logs, readiness, signals.
