//! What the configuration file says, checked.
